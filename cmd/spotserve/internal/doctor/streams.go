package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func (r *Report) streams(s Seen) {
	for _, stream := range s.Streams {
		check := "stream " + stream.Name
		switch {
		case stream.Err != nil:
			r.unseen(check, stream.Err)
		case stream.Info == nil:
			r.fail(check, "start a trace-replayer, a planner or a collector: they make it", "it is not there")
		default:
			r.stream(check, stream, s.clustered())
		}
	}
}

// clustered reports whether the servers are several of one cluster.
func (s Seen) clustered() bool {
	return slices.ContainsFunc(s.Servers, func(x Server) bool { return x.Cluster != "" })
}

// settings are what a stream has to have, and why.
func settings(stream Stream) []struct {
	wrong bool
	found string
	mend  string
} {
	c := stream.Info.Config
	return []struct {
		wrong bool
		found string
		mend  string
	}{
		{!slices.Equal(c.Subjects, stream.Subjects), fmt.Sprintf("it stores %v, want %v", c.Subjects, stream.Subjects), "start a service of this build: it sets them"},
		{c.Retention != jetstream.LimitsPolicy, fmt.Sprintf("its retention is %s: messages go when they were acknowledged, and a run cannot be read again", c.Retention),
			"remove the stream (nats stream rm) and let a service make it; retention cannot be changed"},
		{c.Storage != jetstream.FileStorage, fmt.Sprintf("its storage is %s: a restart of the servers loses all runs", c.Storage),
			"remove the stream (nats stream rm) and let a service make it; storage cannot be changed"},
		{c.MaxAge > 0, fmt.Sprintf("messages go after %s: a run that takes longer breaks off", c.MaxAge), limitMend(stream.Name, "--max-age=0")},
		{c.MaxMsgs > 0, fmt.Sprintf("it keeps %d messages: a run with more breaks off", c.MaxMsgs), limitMend(stream.Name, "--max-msgs=-1")},
		{c.MaxBytes > 0, fmt.Sprintf("it keeps %s: a run with more breaks off", size(c.MaxBytes)), limitMend(stream.Name, "--max-bytes=-1")},
		{stream.MaxMessage > 0 && (c.MaxMsgSize <= 0 || c.MaxMsgSize > stream.MaxMessage),
			fmt.Sprintf("a message may have %s, want at most %s", bounded(c.MaxMsgSize), size(int64(stream.MaxMessage))), boundMend},
		{stream.MaxMessage > 0 && c.MaxMsgSize > 0 && c.MaxMsgSize < stream.MaxMessage,
			fmt.Sprintf("a message may have %s, want %s: larger starts are refused", size(int64(c.MaxMsgSize)), size(int64(stream.MaxMessage))), boundMend},
		{!stream.Bucket && c.Duplicates < shortestWindow, fmt.Sprintf("it knows repeated messages for %s, want %s", c.Duplicates, shortestWindow), limitMend(stream.Name, "--dupe-window="+shortestWindow.String())},
	}
}

// shortestWindow is longer than a service tries to store a message (30 s).
const shortestWindow = time.Minute

// boundMend names who may change a stream that is there.
const boundMend = "start a collector of this build: it sets the bound"

func limitMend(stream, flag string) string { return "nats stream edit " + stream + " " + flag }

func bounded(bytes int32) string {
	if bytes <= 0 {
		return "any size"
	}
	return size(int64(bytes))
}

func (r *Report) stream(check string, stream Stream, clustered bool) {
	n := len(r.Findings)
	for _, setting := range settings(stream) {
		if setting.wrong {
			r.fail(check, setting.mend, "%s", setting.found)
		}
	}
	info := stream.Info
	switch replicas := info.Config.Replicas; {
	case clustered && replicas < 2:
		r.warn(check, "give the trace-replayer, the planner or the collector --stream-replicas 3", "one server of the cluster keeps it: what is on it stands still with that server")
	case replicas > 1 && replicas%2 == 0:
		r.warn(check, "give the trace-replayer, the planner or the collector --stream-replicas "+fmt.Sprint(replicas+1), "%d servers keep it: that is no safer than %d", replicas, replicas-1)
	}
	r.peers(check, info)
	if !r.has(n) {
		r.ok(check, "%d messages, %s, kept by %s", info.State.Msgs, size(int64(info.State.Bytes)), plural(max(info.Config.Replicas, 1), "server")) //nolint:gosec // bytes on a disk
	}
}

// farBehind is how many operations a server may lag behind the leader.
const farBehind = 10_000

func (r *Report) peers(check string, info *jetstream.StreamInfo) {
	if info.Cluster == nil {
		return
	}
	const mend = "start or mend that server; while more than half of the servers have the stream it goes on"
	if info.Cluster.Leader == "" {
		r.fail(check, "start the servers of the cluster: more than half of those that keep the stream have to be there", "no server leads it")
	}
	for _, p := range info.Cluster.Replicas {
		switch {
		case p.Offline:
			r.fail(check, mend, "server %s, which keeps it, is gone (last heard of %s ago)", p.Name, p.Active.Round(time.Second))
		case p.Lag > farBehind || !p.Current && p.Active > time.Minute:
			r.warn(check, mend, "server %s, which keeps it, is %d operations behind", p.Name, p.Lag)
		}
	}
}

// The time after which a message that waits is not only under way, and the number
// of messages that are more than a while's work.
const (
	longestWait = time.Minute
	manyWait    = 50_000
)

func (r *Report) consumers(s Seen) {
	for _, stream := range s.Streams {
		if stream.Info == nil || len(stream.Durables) == 0 {
			continue
		}
		if stream.ConsumersErr != nil {
			r.unseen("consumers of "+stream.Name, stream.ConsumersErr)
			continue
		}
		for _, d := range stream.Durables {
			check := "consumer " + d.Name
			i := slices.IndexFunc(stream.Consumers, func(c *jetstream.ConsumerInfo) bool { return c.Name == d.Name })
			if i < 0 {
				r.warn(check, "start a "+d.Service+", or leave it if you want none", "no %s has ever read %s here", d.Service, stream.Name)
				continue
			}
			r.consumer(check, d, stream.Consumers[i])
		}
	}
}

func (r *Report) consumer(check string, d Durable, c *jetstream.ConsumerInfo) {
	n := len(r.Findings)
	waiting := c.NumPending + uint64(c.NumAckPending) //nolint:gosec // a count
	since := c.Created
	if c.AckFloor.Last != nil {
		since = *c.AckFloor.Last
	}
	// A reader that was just given messages shows no request; what is not
	// acknowledged yet is with one.
	read := c.NumWaiting > 0 || c.NumAckPending > 0
	held := c.TimeStamp.Sub(since)
	switch {
	case waiting > 0 && !read:
		r.fail(check, "start the "+d.Service, "%d messages wait and no %s reads them", waiting, d.Service)
	case waiting > 0 && held > longestWait:
		r.fail(check, "look into the log of the "+d.Service+": its store may be away, or take no rows", "%d messages wait, and none was dealt with for %s", waiting, held.Round(time.Second))
	case waiting > manyWait:
		r.warn(check, "look again: does it get less?", "%d messages wait", waiting)
	case !read:
		r.warn(check, "start a "+d.Service, "nobody reads it")
	}
	if c.NumRedelivered > 0 {
		r.warn(check, "look into the log of the "+d.Service+" for what it cannot deal with", "%s came more than once and is still not dealt with", plural(c.NumRedelivered, "message"))
	}
	if !r.has(n) {
		r.ok(check, "%s wait", plural(int(waiting), "message")) //nolint:gosec // small here
	}
}

// leaseHolds is how long a lease holds without being renewed (platform/lease).
const leaseHolds = 3 * time.Second

func (r *Report) leases(s Seen) {
	if s.Keys.Err != nil {
		r.unseen("leases", s.Keys.Err)
		return
	}
	for _, l := range s.Keys.Leases {
		check := "lease " + l.Service
		start := "start a " + l.Service
		switch age := l.Now.Sub(l.Renewed); {
		case l.Err != nil:
			r.unseen(check, l.Err)
		case l.Missing:
			r.fail(check, start, "no %s has ever led here", l.Service)
		case strings.TrimSpace(l.Holder) == "":
			r.fail(check, start, "nobody leads: the last %s gave it back %s", l.Service, ago(l.Now, l.Renewed))
		case age > 2*leaseHolds:
			r.fail(check, start+", or mend the one that stands by", "%s held it last, %s, and nobody took over", l.Holder, ago(l.Now, l.Renewed))
		case age > leaseHolds:
			r.warn(check, "look again", "%s has not renewed it for %s: another one is about to take over", l.Holder, age.Round(100*time.Millisecond))
		default:
			r.ok(check, "%s leads", l.Holder)
		}
	}
}
