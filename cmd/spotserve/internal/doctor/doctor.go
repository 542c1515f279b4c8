// Package doctor judges a deployment: from what was seen of it, it says what is
// well, what is doubtful, what is broken, and what to mend.
//
// Nothing here looks at anything: package look does, and Seen is what it brings.
// Each part of it was looked at on its own and has an error of its own, so what is
// broken hides nothing else.
package doctor

import (
	"fmt"
	"slices"
	"time"
)

// Status is the verdict on one check.
type Status string

// The verdicts. A deployment with warnings works; one with failures loses what
// the check is about.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
)

// Finding is what was found by one check.
type Finding struct {
	Check  string `json:"check"` // what was looked at, "stream SPOT_RUNS" for example
	Status Status `json:"status"`
	Found  string `json:"found"`
	Mend   string `json:"mend,omitempty"` // what to do; empty if nothing
}

// Report is all that was found, in the order of the checks.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Count is the number of findings with a status.
func (r *Report) Count(s Status) (n int) {
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

func (r *Report) ok(check, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, Status: OK, Found: fmt.Sprintf(format, args...)})
}

func (r *Report) warn(check, mend, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{check, Warning, fmt.Sprintf(format, args...), mend})
}

func (r *Report) fail(check, mend, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{check, Failed, fmt.Sprintf(format, args...), mend})
}

// unseen is a part that could not be looked at.
func (r *Report) unseen(check string, err error) {
	mend := "mend what is broken above, then look again"
	if denied, ok := deniedIn(err); ok {
		mend = "use credentials that may look, those of the role operator for example; these may not use " + denied
		r.warn(check, mend, "not looked at: %v", err)
		return
	}
	r.fail(check, mend, "not looked at: %v", err)
}

// has reports whether findings were added since there were n, and so whether
// something is to be said about a check that found nothing wrong.
func (r *Report) has(n int) bool { return len(r.Findings) > n }

// Judge judges all that was seen.
func Judge(s Seen) Report {
	var r Report
	r.servers(s)
	r.monitors(s)
	if slices.ContainsFunc(s.Servers, func(x Server) bool { return x.Err == nil }) {
		r.user(s)
		r.account(s)
		r.streams(s)
		r.consumers(s)
		r.leases(s)
		r.roll(s)
		r.nodes(s)
		r.clocks(s)
	} else {
		r.fail("bus", "mend what keeps this host from NATS, or look from another one", "streams, leases, services and clocks are not looked at: no NATS server can be asked")
	}
	r.store(s)
	r.runs(s)
	r.endpoints(s)
	r.certificates(s)
	return r
}

// ago is a past instant as text, to the second.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	return now.Sub(then).Round(time.Second).String() + " ago"
}

// plural is n things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
