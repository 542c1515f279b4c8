package worker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

func TestStartsWhenAllOfThePipelineHasLanded(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.told = nil
	l.send(two(epoch1))
	l.saw("Reshape")
	l.send(assign(epoch1, ask(1, 3, 2)))
	l.send(engineop.StageUp{Epoch: epoch2}) // of another plan
	l.send(engineop.CacheLanded{Epoch: epoch2})
	l.saw()
	l.send(engineop.StageUp{Epoch: epoch1}, engineop.ContextLanded{Epoch: epoch1, Bytes: 5})
	l.saw("stage_started", "context_migrated")
	l.send(engineop.CacheLanded{Epoch: epoch1, Cached: []engineop.Cached{{Request: 1, Tokens: 2}}}) // which was not resumed
	l.saw("batch 1 of [1]", "step 0.1: 1[0,3)+")
	l.send(engineop.CacheLanded{Epoch: epoch1, Cached: []engineop.Cached{{Request: 2, Tokens: 3}}}) // again
	l.send(assign(epoch1, ask(2, 5, 1)))
	l.answer(1, 0)
	l.answer(2, 0)
	l.saw("step 0.2: 1[3,4)+", "done [1] 1@0[1003 1004].", "batch 2 of [2]", "step 0.3: 2[0,5)+ release [1]")
}

// TestAWholeAnswerIsAnsweredAtOnce, should one be assigned.
func TestAWholeAnswerIsAnsweredAtOnce(t *testing.T) {
	r := ask(1, 3, 2)
	r.Output, r.Committed = []int32{71, 72}, 2
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, r))
	l.saw("batch 1 of [1]", "done [1] 1@2[].")
}

func TestAStaticBatchIsAnsweredTogether(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(two(epoch1))
	l.send(assign(epoch1, ask(1, 3, 1), ask(2, 2, 3)))
	l.saw("batch 1 of [1 2]", "step 0.1: 1[0,3)+", "step 1.1: 2[0,2)+")
	l.send(assign(epoch1, ask(3, 1, 1)))
	l.saw() // nobody joins
	l.answer(1, 0)
	l.saw()
	l.answer(1.5, 1)
	l.saw("step 1.2: 2[2,3)+")
	l.answer(1.6, 1)
	l.saw("commit 1@0[1003]. 2@0[2002 2003]", "step 1.3: 2[3,4)+")
	l.answer(1.7, 1)
	l.saw("done [1 2] 2@2[2004].", "batch 2 of [3]", "step 0.2: 3[0,1)+ release [1 2]")
	l.answer(2, 0)
	l.saw("done [3] 3@0[3001].")
}

func TestRequestsJoinAndLeaveAtTokenBorders(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Continuous))
	l.open(two(epoch1))
	l.send(assign(epoch1, ask(1, 3, 4)))
	l.saw("join [1] to 1", "step 0.1: 1[0,3)+")
	l.send(assign(epoch1, ask(2, 2, 1), ask(3, 2, 9), ask(4, 1, 9)))
	l.saw("join [2 3 4] to 1", "step 1.1: 2[0,2)+ 4[0,1)+") // 3 waits for the border of its group
	l.send(assign(epoch1, ask(5, 1, 1)))
	l.saw() // four run, as many as may
	l.answer(1, 1)
	l.saw("left [2] 2@0[2002].", "join [5] to 1", "step 1.2: 4[1,2)+ 5[0,1)+ release [2]")
	l.answer(1.1, 0)
	l.saw("step 0.2: 1[3,4)+ 3[0,2)+")
	l.answer(1.2, 0)
	l.saw("commit 1@0[1003 1004] 3@0[3002] 4@0[4001]", "step 0.3: 1[4,5)+ 3[2,3)+")
}

func TestMemoryBoundsWhoJoins(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Continuous))
	part := two(epoch1)
	part.KVTokens = 20
	l.open(part)
	l.send(assign(epoch1, ask(1, 10, 5), ask(2, 3, 3), ask(3, 1, 1)))
	l.saw("join [1] to 1", "step 0.1: 1[0,10)+") // first come, first served: 3 does not overtake
	for i := range 4 {
		l.answer(float64(i+1), 0)
	}
	l.told = nil
	l.answer(5, 0)
	l.saw("left [1] 1@4[1014].", "join [2 3] to 2", "step 0.6: 2[0,3)+ release [1]", "step 1.1: 3[0,1)+")
}

func TestPromptsArePrefilledInChunks(t *testing.T) {
	s := measuredSpec(experiment.Continuous)
	s.Transformer.PrefillChunk = 4
	l := newLab(t, s)
	part := two(epoch1)
	part.Config.Pipeline = 1
	l.open(part)
	l.send(assign(epoch1, ask(1, 3, 9), ask(2, 6, 9)))
	l.saw("join [1 2] to 1", "step 0.1: 1[0,3)+ 2[0,1)")
	l.answer(1, 0)
	l.saw("step 0.2: 1[3,4)+ 2[1,5)") // a token of who decodes, and the chunk
	l.answer(2, 0)
	l.saw("commit 1@0[1003 1004]", "step 0.3: 1[4,5)+ 2[5,6)+")
}

func TestAnswersEndWithStopTokens(t *testing.T) {
	s := measuredSpec(experiment.Pooled)
	s.Transformer.Stop = []int32{1004}
	l := newLab(t, s)
	l.open(two(epoch1))
	stop := ask(2, 2, 9)
	stop.Prompt.Stop = []int32{2002}
	l.send(assign(epoch1, ask(1, 3, 9), stop))
	l.answer(1, 0)
	l.answer(1.1, 1)
	l.told = nil
	l.answer(1.2, 0)
	l.saw("done [1 2] 1@0[1003 1004]. 2@0[2002].")
}

// TestResumesFromWhatHasLanded: the rest is computed from the prompt and the
// committed tokens, the last one always.
func TestResumesFromWhatHasLanded(t *testing.T) {
	resume := func(id int) event.AssignedRequest {
		r := ask(id, 3, 9)
		r.Output = []int32{71, 72}
		r.Committed = 2
		return r
	}
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(two(epoch1, resume(1), resume(2), resume(3), resume(4)),
		engineop.Cached{Request: 1, Tokens: 4}, engineop.Cached{Request: 2, Tokens: 99}, engineop.Cached{Request: 3, Tokens: 1})
	l.until(0)
	if got := l.flying; len(got) != 2 {
		t.Fatalf("%d steps in flight", len(got))
	}
	for i, want := range []string{"step 0.1: 1[4,5)+ 3[1,5)+", "step 1.1: 2[4,5)+ 4[0,5)+"} {
		if got := operation(l.flying[i]); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := l.flying[1].Sequences[1].Tokens; !slices.Equal(got, []int32{1, 2, 3, 71, 72}) {
		t.Errorf("what was lost is computed from %v", got)
	}
	l.answer(1, 0)
	l.answer(2, 0)
	l.saw("step 0.2: 1[5,6)+ 3[5,6)+", "commit 1@2[1005 1006] 3@2[3005 3006]", "step 0.3: 1[6,7)+ 3[6,7)+")
}

// The steps below take 100 ms as modelled, or a second as measured. A pipeline of
// one stage stops at 10 s.
func TestStopsAtTheLastBorderBeforeAPreemption(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 99), ask(2, 3, 99)))
	l.answer(2, 0)
	l.send(leave(epoch1, 10))
	for at := 3.0; at <= 9; at++ {
		l.answer(at, 0)
	}
	l.told = nil
	l.answer(9.2, 0) // another second would be too long
	l.saw("Halt", "exit with 1+9 2+9, not begun [] 1@8[1011] 2@8[2011]")
}

func TestAnUnmeasuredStepIsTakenByTheProfile(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(leave(epoch1, 10))
	l.until(7.4)
	l.saw()
	l.send(assign(epoch1, ask(1, 3, 99))) // a prefill takes 75 ms
	l.saw("batch 1 of [1]", "step 0.1: 1[0,3)+")
	l.answer(9.95, 0) // a token takes 100 ms
	l.saw("Halt", "exit with 1+1, not begun [] 1@0[1003]")
}

func TestStopsAtTheFirstBorderAfterAnAcquisition(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Continuous))
	l.open(two(epoch1))
	l.send(assign(epoch1, ask(1, 3, 99), ask(2, 3, 99)))
	l.send(join(epoch1, 10))
	l.answer(8, 0)
	l.answer(9.99, 0)
	l.told = nil
	l.answer(11, 0)
	l.saw() // a step of the other group is in flight
	l.answer(12, 1)
	l.saw("Halt", "exit with 1+3 2+1, not begun [] 1@2[1005] 2@0[2003]")
}

func TestAnArrangementIsCalledOff(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Continuous))
	l.open(two(epoch1))
	l.send(assign(epoch1, ask(1, 3, 2), ask(2, 3, 1)))
	l.send(leave(epoch1, 1))
	l.told = nil
	l.answer(1, 0)
	l.saw() // it has stopped, and the other group is in flight
	l.send(event.ArrangeInterruption{Epoch: epoch1, Acquisition: true, At: vtime.Never})
	l.saw("step 0.2: 1[3,4)+")
	l.answer(2, 1)
	l.answer(3, 0)
	l.saw("left [2] 2@0[2003].", "left [1] 1@0[1003 1004].")
	l.until(1e6)
	l.saw() // and it waits for more
}

func TestAnIdlePipelineExitsWhenItIsTooLateForAPrefill(t *testing.T) {
	for _, batching := range []experiment.Batching{experiment.Pooled, experiment.Continuous} {
		l := newLab(t, measuredSpec(batching))
		l.open(two(epoch1))
		l.send(leave(epoch1, 10))
		l.until(5)
		l.saw()
		l.until(10)
		l.saw("Halt", "exit with, not begun []")
		if l.agenda.NextTime() != vtime.Never {
			t.Error("a timer is left")
		}
	}
}

// TestAStepThatFailsIsRepeated, after pauses that grow, for ten seconds.
func TestAStepThatFailsIsRepeated(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 9)))
	l.fails(1, 0)
	l.told = nil
	l.until(1.04)
	l.saw()
	l.until(1.05)
	l.saw("step 0.2: 1[0,3)+")
	l.fails(1.1, 0)
	l.until(1.19)
	l.saw()
	l.until(1.2)
	l.saw("step 0.3: 1[0,3)+")
	l.answer(2, 0)
	l.saw("step 0.4: 1[3,4)+")
	at := 3.0
	for !slices.Contains(l.told, "GiveUp") {
		l.fails(at, 0)
		at += 1.5
		if at > 20 {
			t.Fatal("it never gives up")
		}
	}
	if gave := at - 1.5; gave != 13.5 { // the first failure at or after 3 s + 10 s
		t.Errorf("it gives up at %v s", gave)
	}
}

// TestAFailedStepSaysAgainWhoHasEnded: nobody may have heard it.
func TestAFailedStepSaysAgainWhoHasEnded(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Continuous))
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 1)))
	l.answer(1, 0)
	l.send(assign(epoch1, ask(2, 3, 9)))
	l.told = nil
	l.fails(2, 0)
	l.until(3)
	l.saw("step 0.3: 2[0,3)+ release [1]")
}

// TestWhoHasNoCacheHasNotBegun: there is nothing to move of it.
func TestWhoHasNoCacheHasNotBegun(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(two(epoch1))
	l.send(assign(epoch1, ask(1, 3, 9), ask(2, 3, 9)))
	l.answer(1, 0)
	l.fails(1, 1)
	l.send(leave(epoch1, 1))
	l.told = nil
	l.answer(1.01, 0)
	l.saw("commit 1@0[1003 1004]", "Halt", "exit with 1+2, not begun [2]")
}

func TestTheWrongNumberOfTokensIsAFailure(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 9)))
	l.told = nil
	l.send(engineop.Computed{Epoch: epoch1, Step: 1, Tokens: []int32{1, 2}})
	l.until(0.05)
	l.saw("step 0.2: 1[0,3)+")
	l.send(engineop.Computed{Epoch: epoch1, Step: 1, Tokens: []int32{1}}) // of the failed one
	l.saw()
}

func TestAnswersOfAnotherPipelineCountForNothing(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 9)))
	l.told = nil
	for _, b := range []event.Body{
		engineop.Computed{Epoch: epoch2, Step: 1, Tokens: []int32{1}}, engineop.Computed{Epoch: epoch1, Pipeline: 1, Step: 1, Tokens: []int32{1}},
		engineop.Computed{Epoch: epoch1, Group: 1, Step: 1, Tokens: []int32{1}}, engineop.Computed{Epoch: epoch1, Group: -1, Step: 1},
		engineop.Computed{Epoch: epoch1, Step: 2, Tokens: []int32{1}}, engineop.ComputeFailed{Epoch: epoch1, Step: 2},
		engineop.ContextLanded{Epoch: epoch2},
	} {
		l.send(b)
		l.saw()
	}
}

func TestALossClearsTheEngine(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 9)))
	l.told = nil
	l.send(event.InstanceLost{Nodes: []string{"a"}})
	l.saw("Halt", "Clear")
	l.send(engineop.Computed{Epoch: epoch1, Step: 1, Tokens: []int32{1}})
	l.saw()
}

func TestStopPipelineHaltsTheEngine(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	l.send(event.StopPipeline{Epoch: epoch1})
	l.saw("Halt")
}

func TestAStatelessApproachKeepsNothing(t *testing.T) {
	s := measuredSpec(experiment.Pooled)
	s.Approach = experiment.Reparallelization
	l := newLab(t, s)
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 99)))
	for at := range 5 {
		l.answer(float64(at), 0)
	}
	l.told = nil
	l.send(leave(epoch1, 4.5))
	l.answer(5, 0)
	l.saw("Halt", "exit with, not begun [1]")
}

// words is a tokenizer of one token a word, by its length.
type words struct{}

func (words) Encode(text string) (out []int32, err error) {
	if text == "?" {
		return nil, errors.New("no such character" + strings.Repeat("!", 2*event.MaxReasonBytes))
	}
	for w := range strings.FieldsSeq(text) {
		out = append(out, int32(len(w)))
	}
	return out, nil
}

func (words) Decode(tokens []int32) string { return fmt.Sprint(len(tokens), " words\xff") } // half a character

func TestPromptsOfText(t *testing.T) {
	text := func(id int, text string, most int) event.AssignedRequest {
		return event.AssignedRequest{Request: event.RequestID(id), PromptTokens: most, OutputTokens: 1, Prompt: &experiment.Prompt{Text: text}}
	}
	l := newLab(t, measuredSpec(experiment.Continuous))
	l.worker.Tokenize(words{})
	l.open(two(epoch1))
	l.send(assign(epoch1, text(1, "a bb ccc", 9), text(2, "?", 9), text(3, "a a a", 2), text(4, " ", 9)))
	l.saw("join [1 2 3 4] to 1",
		"left [2 3 4] 2@0[]. refused: "+("the prompt cannot be turned into tokens: no such character" + strings.Repeat("!", 512))[:512]+
			" 3@0[]. refused: the prompt has 3 tokens: allowed are 1 to 2 4@0[]. refused: the prompt has 0 tokens: allowed are 1 to 9",
		"step 0.1: 1[0,3)+")
	if got := l.flying[0].Sequences[0].Tokens; !slices.Equal(got, []int32{1, 2, 3}) {
		t.Errorf("the prompt is %v", got)
	}
	l.answer(1, 0)
	l.saw("left [1] 1@0[1003]. 1 words\ufffd")
}

func TestTextNeedsATokenizer(t *testing.T) {
	l := newLab(t, measuredSpec(experiment.Pooled))
	l.open(plan(epoch1, 0))
	r := ask(1, 3, 9)
	r.Prompt = &experiment.Prompt{Text: "hello"}
	l.send(assign(epoch1, r))
	l.saw("batch 1 of [1]", "done [1] 1@0[]. refused: the prompt is text, and the model has no tokenizer: allowed is a list of tokens")
}

func TestTokensOutsideTheVocabularyAreRefused(t *testing.T) {
	s := measuredSpec(experiment.Pooled)
	s.Transformer.Shape.Vocab = 3
	l := newLab(t, s)
	l.open(plan(epoch1, 0))
	l.send(assign(epoch1, ask(1, 3, 9)))
	l.saw("batch 1 of [1]", "done [1] 1@0[]. refused: token 2 of the prompt is 3: allowed are 0 to 2")
}

// TestLongAnswersAreToldInPieces: an event stays well below what a bus takes.
func TestLongAnswersAreToldInPieces(t *testing.T) {
	s := measuredSpec(experiment.Pooled)
	s.CommitInterval = 1 << 20
	l := newLab(t, s)
	var resume []event.AssignedRequest
	for id := range 4 {
		r := ask(id, 1, event.MaxOutputTokens)
		resume = append(resume, r)
	}
	l.open(plan(epoch1, 0, resume...))
	for i := range event.MaxOutputTokens {
		l.answer(float64(i), 0)
		if i < event.MaxOutputTokens-1 {
			l.told = nil
		}
	}
	var starts []string
	for _, line := range l.told {
		if len(line) > event.MaxContentBytes*2 { // in digits
			t.Errorf("%.20s... has %d characters", line, len(line))
		}
		starts = append(starts, line[:4])
	}
	if want := []string{"comm", "done"}; !slices.Equal(starts, want) {
		t.Errorf("4 answers of %d tokens are told by %v, want %v", event.MaxOutputTokens, starts, want)
	}
}
