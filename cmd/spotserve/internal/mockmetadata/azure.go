package mockmetadata

import (
	"fmt"
	"hash/fnv"
	"net/http"

	"github.com/spotserve/spotserve/core/vtime"
)

// The paths of Azure's instance metadata service.
const (
	azureName   = "/metadata/instance/compute/name"
	azureEvents = "/metadata/scheduledevents"
)

// scheduled answers 400 without the header and the version that Azure wants.
func (s *Server) scheduled(serve func(string, http.ResponseWriter)) func(string, http.ResponseWriter, *http.Request) {
	return func(node string, w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Metadata") != "true", r.Header.Get("X-Forwarded-For") != "":
			http.Error(w, `{"error":"Bad request. Required metadata header not specified"}`, http.StatusBadRequest)
		case r.URL.Query().Get("api-version") == "":
			http.Error(w, `{"error":"Bad request. api-version was not specified in the request"}`, http.StatusBadRequest)
		default:
			serve(node, w)
		}
	}
}

func (s *Server) name(node string, w http.ResponseWriter) { _, _ = w.Write([]byte(node)) }

// scheduledEvent is one entry of Azure's document.
type scheduledEvent struct {
	ID          string   `json:"EventId"`
	Type        string   `json:"EventType"`
	Of          string   `json:"ResourceType"`
	Resources   []string `json:"Resources"`
	Status      string   `json:"EventStatus"`
	NotBefore   string   `json:"NotBefore"`
	Description string   `json:"Description"`
	Source      string   `json:"EventSource"`
	Seconds     int      `json:"DurationInSeconds"`
}

// events lists the preemption that is ahead; at its time it is gone.
func (s *Server) events(node string, w http.ResponseWriter) {
	document := struct {
		Incarnation int              `json:"DocumentIncarnation"`
		Events      []scheduledEvent `json:"Events"`
	}{1, []scheduledEvent{}}
	now := s.Clock.Now()
	for _, life := range s.stays[node] {
		if life.to == vtime.Never || now < life.to.Add(-s.Grace) {
			continue
		}
		document.Incarnation++ // it came
		if now >= life.to {
			document.Incarnation++ // and went
			continue
		}
		document.Events = append(document.Events, scheduledEvent{
			ID: eventID(node, life.to), Type: "Preempt", Of: "VirtualMachine", Resources: []string{node}, Status: "Scheduled",
			NotBefore:   s.Clock.Wall(life.to).UTC().Format(http.TimeFormat),
			Description: "Virtual machine is about to be preempted.", Source: "Platform", Seconds: -1,
		})
	}
	reply(w, document)
}

// eventID is the same for the same preemption, in the form that Azure's have.
func eventID(node string, at vtime.Time) string {
	h := fnv.New128a()
	_, _ = fmt.Fprintf(h, "%s/%d", node, at)
	b := h.Sum(nil)
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
