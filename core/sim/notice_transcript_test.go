package sim_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestNoticeTranscripts plays testdata/notices/*.txt: scenarios like those of
// TestTranscripts, in which clouds have their say too, a command a line:
//
//	cloud SECONDS go NODE DEADLINE
//	cloud SECONDS stay|risk|lost NODE
//
// Regenerate with: go test ./sim -run NoticeTranscripts -update
func TestNoticeTranscripts(t *testing.T) { transcripts(t, "testdata/notices/*.txt", playNotices) }

func playNotices(t *testing.T, script string) string {
	t.Helper()
	var rest strings.Builder
	var notices []event.Event
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "cloud" {
			rest.WriteString(line)
			continue
		}
		ev, err := cloudSays(words[1:])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ev.Seq = uint64(len(notices) + 1)
		notices = append(notices, ev)
	}
	spec, timeline, err := parseScenario(rest.String())
	if err != nil {
		t.Fatal(err)
	}
	var w transcript
	if err := sim.RunWithNotices("transcript", spec, timeline, notices, func(ev event.Event) error { w.take(ev); return nil }); err != nil {
		t.Fatal(err)
	}
	w.flush()
	return w.String()
}

func cloudSays(words []string) (event.Event, error) {
	if len(words) < 3 {
		return event.Event{}, fmt.Errorf("want seconds, what and a node")
	}
	at, err := strconv.ParseFloat(words[0], 64)
	if err != nil {
		return event.Event{}, err
	}
	node := "node-" + words[2]
	ev := event.Event{Run: "transcript", Source: event.SourceNotice(node), Time: vtime.Seconds(at), Version: event.SchemaVersion}
	nodes := []string{node}
	switch {
	case words[1] == "go" && len(words) == 4:
		deadline, err := strconv.ParseFloat(words[3], 64)
		ev.Body = event.PreemptionNoticed{Nodes: nodes, Deadline: vtime.Seconds(deadline)}
		return ev, err
	case words[1] == "stay" && len(words) == 3:
		ev.Body = event.PreemptionCancelled{Nodes: nodes}
	case words[1] == "risk" && len(words) == 3:
		ev.Body = event.RebalanceRecommended{Nodes: nodes}
	case words[1] == "lost" && len(words) == 3:
		ev.Body = event.InstanceLost{Nodes: nodes}
	default:
		return ev, fmt.Errorf("unknown word")
	}
	return ev, nil
}
