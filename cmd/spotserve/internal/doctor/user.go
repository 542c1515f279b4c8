package doctor

import (
	"slices"

	"github.com/spotserve/spotserve/core/event"
)

func (r *Report) user(s Seen) {
	const check = "nats user"
	u := s.User
	local := !slices.ContainsFunc(s.Servers, func(x Server) bool { return x.Err == nil && !x.Loopback })
	switch {
	case u.Err != nil:
		r.unseen(check, u.Err)
	case u.Name == "" && !local:
		r.warn(check, "give the server the auth.conf of spotserve deploy keys, and each service its own nkey (--nats-nkey)",
			"nobody has to say who they are: who reaches the server may do everything")
	case u.Name == "":
		r.ok(check, "nobody has to say who they are, on this host")
	default:
		r.ok(check, "%s of account %s", u.Name, u.Account)
	}
}

// name is a service as people call it.
func name(p event.ServicePresent) string {
	if len(p.Nodes) == 1 {
		return p.Service + " " + p.Nodes[0]
	}
	return p.Service
}
