package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/access"
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
	case !u.Limited:
		r.warn(check, "give the server the auth.conf of spotserve deploy keys: it says who may do what", "%s may do everything", u.Name)
	case u.Role == "":
		r.ok(check, "%s of account %s", u.Name, u.Account)
	default:
		r.permissions(check, u)
	}
}

// permissions compares what the server lets a user do with what its role is to do.
func (r *Report) permissions(check string, u User) {
	const mend = "bring auth.conf up to date with spotserve deploy keys, on all servers, and have them reload (nats-server --signal reload)"
	who := access.User{Role: u.Role, Node: u.Node, Key: u.Name}
	want := who.Grants()
	lacks := slices.Concat(without(all(want.Publish), u.MayPublish), without(all(want.Subscribe), u.MaySubscribe))
	more := slices.Concat(without(u.MayPublish, all(want.Publish)), without(u.MaySubscribe, all(want.Subscribe)), without(all(want.Deny), u.MayNotPublish))
	if len(lacks) > 0 {
		r.fail(check, mend, "%s, which is the role %s, may not use %s", u.Name, who.Name(), some(lacks))
	}
	if len(more) > 0 {
		r.warn(check, mend, "%s, which is the role %s, may use %s, which that role does not need", u.Name, who.Name(), some(more))
	}
	if len(lacks)+len(more) == 0 {
		r.ok(check, "%s, which is the role %s, may do what that role does and no more", u.Name, who.Name())
	}
}

// all are the subjects of grants.
func all(grants []access.Grant) (subjects []string) {
	for _, g := range grants {
		subjects = append(subjects, g.Subjects...)
	}
	return subjects
}

// without are those of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// some are a few of many subjects.
func some(subjects []string) string {
	const most = 3
	if len(subjects) <= most {
		return strings.Join(subjects, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(subjects[:most], ", "), len(subjects)-most)
}

// name is a service as people call it.
func name(p event.ServicePresent) string {
	if len(p.Nodes) == 1 {
		return p.Service + " " + p.Nodes[0]
	}
	return p.Service
}
