package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look"
	"github.com/spotserve/spotserve/platform/service"
)

// maxLookTimeout bounds the time of one check.
const maxLookTimeout = time.Minute

func (a *app) doctor() *cobra.Command {
	var o look.Options
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "check a deployment, and say what to mend",
		Long: `Check a deployment: NATS and the credentials for it, streams, leases, services
and workers, the store, runs that are stuck, clocks and certificates. It changes
nothing. What is broken hides nothing else; the exit code is 1 if anything is.`,
		Example: "  spotserve doctor --nats nats://10.0.0.1:4222 --store clickhouse://reader@10.0.0.2:9000/spotserve\n  spotserve doctor --node node-0 --node node-1 --metrics 10.0.0.1:9101 --output json",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Timeout <= 0 || o.Timeout > maxLookTimeout {
				return usagef("--timeout %s: allowed are durations up to %s", o.Timeout, maxLookTimeout)
			}
			o.NATS, o.Store, o.Credentials = a.nats, a.storeURL, a.credentials
			if o.NATS == "" {
				o.NATS = service.DefaultNATS
			}
			report := doctor.Judge(look.All(cmd.Context(), o))
			if cmd.Context().Err() != nil {
				return errInterrupted
			}
			if err := a.printDiagnosis(report); err != nil {
				return err
			}
			if report.Count(doctor.Failed) > 0 {
				return &saidError{exitFailed}
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&o.Nodes, "node", nil, "name of a node that has to have a worker, repeatable")
	fs.StringArrayVar(&o.Metrics, "metrics", nil, "host:port or URL of a service's --metrics-listen, repeatable")
	fs.StringArrayVar(&o.Monitors, "nats-monitor", nil, "host:port or URL of a NATS server's monitoring, repeatable")
	fs.DurationVar(&o.Timeout, "timeout", 5*time.Second, "wall time that one check may take")
	return cmd
}

// printDiagnosis prints what was found, and what to mend below it.
func (a *app) printDiagnosis(r doctor.Report) error {
	if a.output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			doctor.Report
			OK       int `json:"ok"`
			Warnings int `json:"warnings"`
			Failed   int `json:"failed"`
		}{r, r.Count(doctor.OK), r.Count(doctor.Warning), r.Count(doctor.Failed)})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", f.Status, f.Check, f.Found)
		if f.Mend != "" {
			_, _ = fmt.Fprintf(w, "\t\tmend: %s\n", f.Mend)
		}
	}
	_, _ = fmt.Fprintf(w, "\n%d ok, %d warnings, %d failed\n", r.Count(doctor.OK), r.Count(doctor.Warning), r.Count(doctor.Failed))
	return w.Flush()
}
