package event

import "strings"

// noticePrefix begins the names of notice sources.
const noticePrefix = "notice/"

// SourceNotice is the source that tells what the cloud of a node says about it.
// Its Seq grows, but does not count from 1.
func SourceNotice(node string) string { return noticePrefix + node }

// SourceUser is the source of the requests that users publish. Its Seq is the place
// in the stream.
const SourceUser = "user/"

// NoticedNode names the node whose cloud is the source; ok is false for any other
// source.
func NoticedNode(source string) (node string, ok bool) {
	return strings.CutPrefix(source, noticePrefix)
}

// FromOutside reports whether e was said by a notice source or a user. Nothing in a
// run brings such an event about, so it has no watermark and nobody waits for it.
func (e Event) FromOutside() bool {
	return strings.HasPrefix(e.Source, noticePrefix) || e.Source == SourceUser
}

// PreemptionCancelled takes back what PreemptionNoticed said: nodes stay.
type PreemptionCancelled struct{ Nodes []string }

// RebalanceRecommended says that nodes are more likely to go than others, at no
// known time.
type RebalanceRecommended struct{ Nodes []string }

// Kind implements Body.
func (PreemptionCancelled) Kind() Kind  { return "preemption_cancelled" }
func (RebalanceRecommended) Kind() Kind { return "rebalance_recommended" }
