package obs

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// Leading shows whether this process has its service's lease.
type Leading struct {
	leads prometheus.Gauge
	taken prometheus.Counter
}

// NewLeading registers the two metrics of a service: whether this process leads,
// and how often it took the lease.
func NewLeading(r prometheus.Registerer, service string) (*Leading, error) {
	l := &Leading{
		leads: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "spotserve", Subsystem: service, Name: "leader",
			Help: "1 while this process has the lease of its service and does the work, 0 while it stands by.",
		}),
		taken: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "spotserve", Subsystem: service, Name: "leases_taken_total",
			Help: "How often this process took the lease of its service, the first time included.",
		}),
	}
	for _, c := range []prometheus.Collector{l.leads, l.taken} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// While returns lead, which runs for as long as the process has the lease.
func (l *Leading) While(lead func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		l.taken.Inc()
		l.leads.Set(1)
		defer l.leads.Set(0)
		return lead(ctx)
	}
}
