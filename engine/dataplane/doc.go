// Package dataplane carries what workers say to each other directly: weights and
// KV cache from node to node, and the activations, sums and tokens of the steps
// of a pipeline. Everything goes over TCP, under mutual TLS where Options.Security
// is set, with a checksum on every byte.
//
// # Security
//
// With Options.Security a connection begins with a handshake of TLS 1.3 in which
// both sides show the certificate of a worker. Before that no byte of a frame is
// taken or sent, and there is no way back to plain TCP. Who dials takes nobody but
// the node that it dialled; a link of a mesh is refused to who says it comes from
// another node than its certificate is for. What is not known yet is bounded: at
// most maxHalfOpen connections shake hands, each within Options.Timeout and
// handshakeBytes. So is what a known peer may take: Options.MaxPeerConns
// connections, and in a mesh Options.InboxBytes. Certificates are asked for at each
// handshake, so they may be replaced while the server runs; connections that are
// open stay as they are. Refusals counts and logs who was refused.
//
// # Transfers
//
// A Server gives out the items of its Provider. A Client fetches them straight
// into the memory where they will be used, one request at a time on each of a few
// connections to a peer; more fetches than that wait. TCP slows down the sender of
// a slow receiver, and neither side holds more than one chunk besides the item. A
// fetch whose connection breaks, or whose bytes are wrong, goes on from its last
// good chunk on another connection, after asking for the peer's address again.
//
// # Steps
//
// A Mesh is the part that one node has in one epoch of a run. Its devices send
// messages to devices of other nodes, and of their own. Each ordered pair of
// devices has a connection, opened by the sender for this epoch alone: what
// belongs to another epoch is refused with ErrEpoch where the connection is
// opened, and a mesh that closes ends its connections, so that nobody waits for it.
// One goroutine a connection reads whatever comes into the inbox of the mesh.
// That is why two devices may send each other vectors of any size at once.
//
// A step is one pass of one micro-batch: (pipeline, group, step number). Step
// numbers of a group grow. What arrives for a step below the newest that its
// device has dealt with is dropped, and a peer that leaves more than
// Options.InboxBytes waiting is disconnected.
//
// # Wire format
//
// A connection carries frames. All numbers are little-endian, strings are a u16
// length and bytes. A frame is a header of 24 bytes and a body:
//
//	offset  bytes
//	     0      3  "SSD"
//	     3      1  version: 1
//	     4      1  type
//	     5      1  code of a refusal, else 0
//	     6      2  0
//	     8      4  length of the body
//	    12      4  number of this frame on this connection and in this direction, from 0
//	    16      4  CRC32C of the body; under TLS, which has its own, 0
//	    20      4  CRC32C of bytes 0 to 19
//
// Types, who sends them (C dialled, S accepted), and their bodies:
//
//	 1 get      C  node, run: strings; item; u64 bytes of the whole item; u64 offset to begin at
//	 2 data     S  up to 1 MiB of the item, each after the one before
//	 3 ack      C  nothing: the whole item has arrived
//	 4 held     C  node, run: strings; u32 count; items
//	 5 holds    S  u32 count; i32 tokens each, of weights 1 or 0
//	 6 join     C  run: string; u64 term, u64 n of the epoch; sender, receiver: string node, u32 device
//	 7 joined   S  nothing: the mesh of that epoch takes step frames
//	 8 step     C  u32 pipeline; u32 group; u64 step; u32 number; u8 tag, 3 bytes 0; u32 h; h bytes of head; rows as f32
//	 9 abort    C  u32 pipeline; u32 group; u64 step; reason: string
//	10 ping     C  nothing: the sender is alive
//	11 refused  S  reason: string; the header's code says which error it is
//
// An item is u8 kind, u32 layer, u32 leaf, u64 sequence, u32 from, u32 to. A
// connection that begins with join is a link of a mesh from then on, any other
// takes get and held in turn. The body of a frame must have arrived within
// Options.Timeout of its header, and a link of a mesh is never silent for that
// long: its sender pings.
package dataplane
