package skip

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Counting returns a teller whose counts are a metric of a service.
func Counting(log *slog.Logger, r prometheus.Registerer, service string) (*Teller, error) {
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "spotserve", Subsystem: service, Name: "skipped_messages_total",
		Help: "Messages left out, by reason: unreadable, unfit (what it says does not belong on its subject), unknown (a newer service's), too_new (of a version that this build does not read).",
	}, []string{"reason"})
	for _, reason := range Reasons() {
		messages.WithLabelValues(reason)
	}
	if err := r.Register(messages); err != nil {
		return nil, fmt.Errorf("%s: metrics: %w", service, err)
	}
	return New(log, func(reason string) { messages.WithLabelValues(reason).Inc() }), nil
}
