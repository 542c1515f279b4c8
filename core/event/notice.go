package event

import "strings"

// noticePrefix begins the names of notice sources.
const noticePrefix = "notice/"

// SourceNotice is the source that tells what the cloud of a node says about it.
// Its Seq grows, but does not count from 1.
func SourceNotice(node string) string { return noticePrefix + node }

// FromOutside reports whether e was said by a notice source. Nothing in a run
// brings such an event about, so it has no watermark and nobody waits for it.
func (e Event) FromOutside() bool { return strings.HasPrefix(e.Source, noticePrefix) }

// PreemptionCancelled takes back what PreemptionNoticed said: nodes stay.
type PreemptionCancelled struct{ Nodes []string }

// RebalanceRecommended says that nodes are more likely to go than others, at no
// known time.
type RebalanceRecommended struct{ Nodes []string }

// Kind implements Body.
func (PreemptionCancelled) Kind() Kind  { return "preemption_cancelled" }
func (RebalanceRecommended) Kind() Kind { return "rebalance_recommended" }
