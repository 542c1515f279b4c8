package cli

import (
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/deploy"
)

func (a *app) deploy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "make what a deployment of the services needs",
		Args:  arguments("command"),
		RunE: func(_ *cobra.Command, args []string) error {
			return usagef("unknown command deploy %s: allowed is keys", args[0])
		},
	}
	cmd.AddCommand(a.deployKeys())
	return cmd
}

func (a *app) deployKeys() *cobra.Command {
	o := deploy.Options{}
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "make the credentials of all services, offline",
		Long: `Make the credentials of a deployment in a folder: an authority, certificates of
the NATS and ClickHouse servers, for each role and each node's worker a
certificate and a user of NATS, and the list of what each user may do.

In a folder that has them it adds what is missing, a new node's for example.
What is there stays; --renew makes the certificates anew. Keys and seeds are
readable by their owner only. Nothing is sent anywhere.`,
		Example: "  spotserve deploy keys --out keys --node node-0 --node node-1 --host nats-1.example.com --host db-1.example.com",
		Args:    arguments(),
		RunE: func(*cobra.Command, []string) error {
			o.Now = time.Now()
			result, err := deploy.Keys(o)
			if err != nil {
				return err
			}
			return a.printKeys(o.Out, result)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.Out, "out", "keys", "folder of the credentials")
	fs.StringArrayVar(&o.Nodes, "node", nil, "name of a node whose worker gets credentials, repeatable")
	fs.StringArrayVar(&o.Hosts, "host", nil, "name or address by which NATS and ClickHouse are called, repeatable (beside localhost)")
	fs.IntVar(&o.Days, "days", 365, "how many days certificates hold; the authority holds 3650")
	fs.BoolVar(&o.Renew, "renew", false, "make certificates anew that are there; the authority and the users stay")
	return cmd
}

// printKeys says what was done, and what goes where.
func (a *app) printKeys(out string, r deploy.Result) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, s := range r.Steps {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", s.Done, s.Path, s.What) // Flush has the error
	}
	_, _ = fmt.Fprintf(w, "\nCopy what a host needs and nothing else:\n")
	for _, place := range [][2]string{
		{"nats", "to each NATS server, which reads auth.conf and listens with server.crt; reload it after a change"},
		{"clickhouse", "to the ClickHouse server"},
		{"ROLE", "to where that service runs: --tls-ca ca.crt --tls-cert tls.crt --tls-key tls.key --nats-nkey nats.nk"},
		{"worker-NODE", "to that node and no other"},
		{"operator", "to who may start and stop runs and read everything"},
		{"client", "to who may ask a run"},
		{"ca.key", "nowhere: keep it offline, it makes certificates that everybody trusts"},
	} {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", filepath.Join(out, place[0]), place[1])
	}
	return w.Flush()
}
