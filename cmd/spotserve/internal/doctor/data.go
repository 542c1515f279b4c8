package doctor

import (
	"slices"
	"strings"
	"time"
)

func (r *Report) store(s Seen) {
	const check = "store"
	st := s.Store
	if st.Err != nil {
		r.fail(check, "start it, or correct --store and its credentials; if nobody has stored anything yet, start a collector first", "%v", st.Err)
		return
	}
	n := len(r.Findings)
	if st.Plain {
		r.warn(check, "name the port with TLS and secure=true in --store, and the authority with --tls-ca", "plain text to another host: its password and all answers can be read on the way")
	}
	switch {
	case st.SchemaErr != nil:
		r.fail("store schema", "start a collector with this store: it makes the tables", "%v", st.SchemaErr)
	case st.Schema < st.Known:
		r.warn("store schema", "start a collector of this build: it brings the tables up to date", "it has schema %d, and this build knows %d", st.Schema, st.Known)
	case st.Schema > st.Known:
		r.warn("store schema", "bring this spotserve, and all services, to the version of the newest collector", "it has schema %d, of a newer build; this one knows %d", st.Schema, st.Known)
	}
	if st.RightsErr != nil {
		r.warn("store rights", "give this user the right to read the database", "%v", st.RightsErr)
	}
	if !r.has(n) {
		r.ok(check, "%s, schema %d; this user %s", st.URL, st.Schema, cmpOr(st.Rights, "reads"))
	}
}

// The wall time without a message after which a run may be stuck: nothing has to
// be said while nothing is asked of it, so this is no proof.
const quiet = 10 * time.Minute

// recording is how long rows may take to be stored after the end of a run.
const recording = time.Minute

func (r *Report) runs(s Seen) {
	if s.Runs.Err != nil {
		if s.Store.Err == nil {
			r.unseen("runs", s.Runs.Err)
		}
		return
	}
	n := len(r.Findings)
	running := slices.ContainsFunc(s.Runs.Open, func(x Run) bool { return x.Status == "running" })
	for _, run := range s.Runs.Open {
		r.run(run, running)
	}
	if !r.has(n) {
		r.ok("runs", "%s open", plural(len(s.Runs.Open), "run"))
	}
}

func (r *Report) run(x Run, running bool) {
	check := "run " + x.Run.Run
	switch {
	case x.Err != nil:
		r.unseen(check, x.Err)
	case x.Status == "queued":
		if since := x.Now.Sub(time.UnixMilli(x.StartedUnixMS)); !running && since > recording {
			r.fail(check, "start a trace-replayer, and look into its log", "it waits since %s, and no run goes on", since.Round(time.Second))
		}
	case !x.Messages:
		r.warn(check, "it was purged before its end was stored, or the store is of another deployment; spotserve prune does not remove it", "the store says that it goes on, and the bus has nothing of it")
	case !x.Ended.IsZero():
		if since := x.Now.Sub(x.Ended); since > recording {
			r.fail(check, "look into the log of the collector", "it ended %s, and its end is not stored", ago(x.Now, x.Ended))
		}
	case x.Now.Sub(x.LastSaid) > quiet:
		r.warn(check, "if requests should be under way, look at the planner, the trace-replayer and the workers above; spotserve stop "+x.Run.Run+" ends it",
			"nobody has said anything in it for %s", x.Now.Sub(x.LastSaid).Round(time.Second))
	}
}

func (r *Report) endpoints(s Seen) {
	for _, e := range s.Endpoints {
		check := "metrics " + e.URL
		switch {
		case e.Err != nil:
			r.fail(check, "start the service, with --metrics-listen where this host reaches it", "%v", e.Err)
		case !e.Ready:
			r.fail(check, "look into the log of the service, and at what it waits for", "it is not ready: %s", strings.Join(e.Unmet, "; "))
		case e.MetricsErr != nil:
			r.fail(check, "is this a service of SpotServe?", "it is ready and shows no metrics: %v", e.MetricsErr)
		default:
			r.ok(check, "ready")
		}
	}
}

// What is left of a certificate's life, or absolutely, when it should be renewed.
const (
	lastShare = 0.2
	lastDays  = 30 * 24 * time.Hour
)

func (r *Report) certificates(s Seen) {
	const mend = "spotserve deploy keys --renew, and put the files where the process reads them: it takes them without a restart"
	for _, c := range s.Certificates {
		check := "certificate of " + c.Whose
		left, life := c.NotAfter.Sub(s.At), c.NotAfter.Sub(c.NotBefore)
		due := min(time.Duration(lastShare*float64(life)), lastDays)
		switch {
		case c.Err != nil:
			r.fail(check, "correct the file that the flag names", "%v", c.Err)
		case s.At.Before(c.NotBefore):
			r.fail(check, "set the clock of this host, or make the certificate anew", "it holds from %s on", c.NotBefore.UTC().Format(time.RFC3339))
		case left <= 0:
			r.fail(check, mend, "it expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
		case left < due:
			r.warn(check, mend, "it expires at %s, in %s", c.NotAfter.UTC().Format(time.RFC3339), left.Round(time.Minute))
		default:
			r.ok(check, "holds until %s", c.NotAfter.UTC().Format(time.DateOnly))
		}
	}
}
