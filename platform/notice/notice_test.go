package notice_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func preemption(in time.Duration) notice.Notice {
	return notice.Notice{Instance: "node-0", Kind: notice.Preemption, Deadline: noon.Add(in), ID: in.String()}
}

// TestWhatStands: what clouds repeat counts once, an earlier deadline is news,
// and a cancelled one is as if it had never been.
func TestWhatStands(t *testing.T) {
	cancelled := notice.Notice{Instance: "node-0", Kind: notice.Cancelled}
	rebalance := notice.Notice{Instance: "node-0", Kind: notice.Rebalance}
	for _, tt := range []struct {
		name string
		told []notice.Notice
		at   []time.Duration // when; 0 where it is missing
		want notice.Standing
		news string // one letter a notice
	}{
		{name: "nothing", want: notice.Standing{}},
		{name: "a preemption", told: []notice.Notice{preemption(30 * time.Second)},
			want: notice.Standing{Deadline: noon.Add(30 * time.Second)}, news: "y"},
		{name: "the same with another id, a second off", told: []notice.Notice{preemption(30 * time.Second), preemption(31 * time.Second), preemption(29 * time.Second)},
			want: notice.Standing{Deadline: noon.Add(30 * time.Second)}, news: "ynn"},
		{name: "an earlier deadline", told: []notice.Notice{preemption(120 * time.Second), preemption(30 * time.Second)},
			want: notice.Standing{Deadline: noon.Add(30 * time.Second)}, news: "yy"},
		{name: "a later deadline", told: []notice.Notice{preemption(30 * time.Second), preemption(120 * time.Second)},
			want: notice.Standing{Deadline: noon.Add(30 * time.Second)}, news: "yn"},
		{name: "cancelled", told: []notice.Notice{preemption(30 * time.Second), cancelled, cancelled},
			want: notice.Standing{}, news: "yyn"},
		{name: "noticed again after it was cancelled, and later", told: []notice.Notice{preemption(30 * time.Second), cancelled, preemption(90 * time.Second)},
			want: notice.Standing{Deadline: noon.Add(90 * time.Second)}, news: "yyy"},
		{name: "cancelled before it was noticed", told: []notice.Notice{cancelled}, want: notice.Standing{}, news: "n"},
		{name: "at risk, once", told: []notice.Notice{rebalance, rebalance}, want: notice.Standing{AtRisk: true}, news: "yn"},
		{name: "at risk stays through a cancelled preemption", told: []notice.Notice{rebalance, preemption(time.Minute), cancelled},
			want: notice.Standing{AtRisk: true}, news: "yyy"},
		{name: "another after the first has passed: the instance has come back",
			told: []notice.Notice{preemption(30 * time.Second), preemption(30 * time.Second), preemption(time.Hour)},
			at:   []time.Duration{0, time.Minute, time.Minute},
			want: notice.Standing{Deadline: noon.Add(time.Hour)}, news: "yny"},
		{name: "two deadlines that are both told again after the first has passed",
			told: []notice.Notice{preemption(30 * time.Second), preemption(time.Hour), preemption(30 * time.Second), preemption(time.Hour)},
			at:   []time.Duration{0, time.Minute, time.Minute, time.Minute},
			want: notice.Standing{Deadline: noon.Add(time.Hour)}, news: "yynn"},
		{name: "one that is over when it is first told", told: []notice.Notice{preemption(-time.Minute)},
			want: notice.Standing{Deadline: noon.Add(-time.Minute)}, news: "y"},
		{name: "a preemption without a deadline", told: []notice.Notice{{Instance: "node-0", Kind: notice.Preemption}}, want: notice.Standing{}, news: "n"},
		{name: "what nobody knows", told: []notice.Notice{{Instance: "node-0", Kind: "party"}}, want: notice.Standing{}, news: "n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s notice.Standing
			var news strings.Builder
			for i, n := range tt.told {
				at := noon
				if i < len(tt.at) {
					at = at.Add(tt.at[i])
				}
				next, fresh := s.After(n, at)
				s = next
				news.WriteString(map[bool]string{true: "y", false: "n"}[fresh])
			}
			if s != tt.want || news.String() != tt.news {
				t.Errorf("%+v stands, news %q; want %+v, %q", s, news.String(), tt.want, tt.news)
			}
		})
	}
}

// TestBoard: who waits hears of news, and of nothing else; instances are apart.
func TestBoard(t *testing.T) {
	var log bytes.Buffer
	b := notice.NewBoard(slog.New(slog.NewTextHandler(&log, nil)))
	s, changed := b.Standing("node-0")
	if s != (notice.Standing{}) {
		t.Errorf("%+v stands at the start", s)
	}
	b.Post("test", notice.Notice{Instance: "node-0", Kind: notice.Cancelled})
	select {
	case <-changed:
		t.Error("nothing new, and the board says that something changed")
	default:
	}
	n := notice.Notice{Instance: "node-0", Kind: notice.Preemption, Deadline: time.Now().Add(time.Hour)}
	b.Post("test", n)
	b.Post("test", n)
	<-changed
	if s, _ := b.Standing("node-0"); !s.Deadline.Equal(n.Deadline) {
		t.Errorf("%+v stands, want the deadline %s", s, n.Deadline)
	}
	if s, _ := b.Standing("node-1"); s != (notice.Standing{}) {
		t.Errorf("%+v stands for an instance that nobody spoke of", s)
	}
	if got := strings.Count(log.String(), "msg=notice"); got != 1 {
		t.Errorf("%d lines of news, want 1:\n%s", got, log.String())
	}
}
