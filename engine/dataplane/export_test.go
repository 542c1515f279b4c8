package dataplane

import "net"

// RawFrame is a frame that says it is length bytes long, as TLS carries it.
func RawFrame(kind byte, number uint32, length int, body []byte) []byte {
	h := header{kind: frameType(kind), length: uint32(length), number: number}
	b := make([]byte, headerBytes, headerBytes+len(body))
	h.put(b)
	return append(b, body...)
}

// Meet has the server take a connection, and returns why it ended.
func (s *Server) Meet(conn net.Conn) error {
	safe, who, err := s.options.Security.serve(s.ctx, s.tls, conn, s.options.Timeout)
	if err != nil {
		return err
	}
	w := newWire(safe, s.options.Timeout)
	w.peer = who
	return s.serve(w)
}
