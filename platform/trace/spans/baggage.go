package spans

import (
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/trace"
)

// Baggage is the context of requests that came with a traceparent, as W3C Baggage:
// r<id>=<traceparent> with commas between.
const baggageKey = "r"

func baggage(b *strings.Builder, id event.RequestID, c trace.Context) {
	if b.Len() > 0 {
		b.WriteByte(',')
	}
	b.WriteString(baggageKey + decimal(uint64(id)) + "=" + c.String())
}

// readBaggage calls take for every request in it, and leaves out what else there is.
func readBaggage(text string, take func(event.RequestID, trace.Context)) {
	for member := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(member), "=")
		number, ok := strings.CutPrefix(key, baggageKey)
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(value, ";") // properties
		id, err := strconv.ParseUint(number, 10, 64)
		if c, ok := trace.Parse(strings.TrimSpace(value)); ok && err == nil {
			take(event.RequestID(id), c)
		}
	}
}

// assigned calls take for the requests that a command hands to a pipeline's leader.
func assigned(b event.Body, take func(pipeline int, e event.Epoch, r event.AssignedRequest, cached bool)) {
	switch b := b.(type) {
	case event.AssignRequests:
		for _, r := range b.Requests {
			take(b.Pipeline, b.Epoch, r, false)
		}
	case event.ApplyMigration:
		for _, p := range b.Pipelines {
			if !p.Leader {
				continue
			}
			for _, r := range p.Resume {
				take(p.Pipeline, b.Epoch, r, true)
			}
		}
	}
}
