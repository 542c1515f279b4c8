package access

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/platform/bus/jsapi"
)

// The accounts of the server. The one of the system has no user.
const (
	account       = "SPOT"
	systemAccount = "SYS"
)

// Grants are what the user may do.
func (u User) Grants() Grants { return Of(u.Role, u.Node, jsapi.Inbox(u.Key)) }

// Config is the part of a NATS server's configuration that says who the users are
// and what they may do. It has public keys only. The order of the users does not
// matter.
func Config(users []User) string {
	users = slices.SortedFunc(slices.Values(users), func(a, b User) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Roles(), a.Role), slices.Index(Roles(), b.Role)),
			strings.Compare(a.Node, b.Node), strings.Compare(a.Key, b.Key))
	})
	var b strings.Builder
	b.WriteString("# Who may do what on the bus. Made by spotserve deploy keys, which writes it\n" +
		"# anew; it has no secrets. A server takes a change when it is told to reload.\n\n")
	fmt.Fprintf(&b, "accounts {\n  %s {\n    jetstream: enabled\n    users: [\n", account)
	for _, u := range users {
		g := u.Grants()
		fmt.Fprintf(&b, "      # %s\n      {\n        nkey: %s\n        permissions: {\n          publish: {\n", u.Name(), u.Key)
		writeList(&b, "allow", g.Publish)
		writeList(&b, "deny", g.Deny)
		b.WriteString("          }\n          subscribe: {\n")
		writeList(&b, "allow", g.Subscribe)
		b.WriteString("          }\n        }\n      }\n")
	}
	fmt.Fprintf(&b, "    ]\n  }\n  %s {}\n}\nsystem_account: %s\n", systemAccount, systemAccount)
	return b.String()
}

func writeList(b *strings.Builder, name string, grants []Grant) {
	fmt.Fprintf(b, "            %s: [\n", name)
	for _, g := range grants {
		for _, s := range g.Subjects {
			fmt.Fprintf(b, "              %s\n", strconv.Quote(s))
		}
	}
	b.WriteString("            ]\n")
}
