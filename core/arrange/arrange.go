// Package arrange decides how long running batches may go on before a
// reconfiguration: the interruption arranger of the paper's section 4.1.
//
// The arrangement is made where the tokens are made, on the pipeline, with the
// batch's real pace; so it holds to the token.
package arrange

import (
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

// Batch is the timetable of a running batch.
type Batch struct {
	Start   vtime.Time
	Prefill time.Duration // until the first decoding iteration begins
	Token   time.Duration // one decoding iteration
	Tail    time.Duration // after the last token of the whole batch
	Tokens  int           // decoding iterations of the whole batch
}

// At is when the k-th token of the batch is there; its prefill ends at At(0).
func (b Batch) At(k int) vtime.Time {
	return b.Start.Add(b.Prefill + time.Duration(k)*b.Token)
}

// End is when the whole batch is answered.
func (b Batch) End() vtime.Time { return b.At(b.Tokens).Add(b.Tail) }

// Done is how many tokens are there at now.
func (b Batch) Done(now vtime.Time) int {
	decoding := now.Sub(b.At(0))
	if decoding <= 0 || b.Tokens == 0 {
		return 0
	}
	return min(b.Tokens, int(decoding/b.Token))
}

// Interruption is a reconfiguration that pipelines stop for.
type Interruption struct {
	// Acquisition: new instances join at At. Else instances leave at At, and
	// the migration has to be through by then.
	Acquisition bool
	At          vtime.Time
	Migration   time.Duration
}

// Stop is the instant to stop at: for a preemption the latest that leaves the
// migration its time, for an acquisition the instances' arrival.
func (i Interruption) Stop() vtime.Time {
	if i.Acquisition {
		return i.At
	}
	return i.At.Add(-i.Migration)
}

// Tokens is how many tokens of b to decode. b.Tokens lets the whole batch run;
// 0 says that stopping leaves nothing worth keeping.
//
// Before a preemption it is the largest S with l_exe(S) < T - T_mig, before an
// acquisition the smallest S with l_exe(S) >= T.
func (i Interruption) Tokens(b Batch) int {
	stop := i.Stop()
	if b.End() <= stop {
		return b.Tokens
	}
	decoding := stop.Sub(b.At(0))
	if decoding <= 0 || b.Token <= 0 {
		return 0
	}
	k := int(decoding / b.Token)
	if exact := time.Duration(k)*b.Token == decoding; i.Acquisition && !exact {
		k++
	} else if !i.Acquisition && exact {
		k--
	}
	// The last token is worth little without its tail: a batch that cannot end
	// in time keeps one token for its next pipeline.
	if !i.Acquisition {
		k = min(k, b.Tokens-1)
	}
	return min(k, b.Tokens)
}

// IdleExit is when a pipeline without work stops waiting for some: a prefill of
// one request would not fit any more.
func (i Interruption) IdleExit(prefillOne time.Duration) vtime.Time {
	return i.Stop().Add(-prefillOne)
}
