package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// DecodeMessage is Decode of a message of the stream, by its subject and its place
// there. What does not belong on its subject is an error that wraps ErrUnfit.
// Beside events it reads what users publish as arrivals: a JSON object, for example
//
//	nats pub spot.run.custom-3.request.arrived '{"id": "a1", "prompt": "Hello", "max_tokens": 64}'
//
//	id           text of at most 128 bytes; the same id is the same request.
//	             Without one the request is named by its place in the stream
//	prompt       text, or
//	tokens       list of token numbers: one of the two
//	max_tokens   most tokens of the answer; without it the run's
//	temperature, top_p, top_k, seed     without one the run's
//	stop         list of tokens that end the answer
//
// A request that cannot be read is an arrival too, with what is wrong as its flaw:
// the planner refuses it in public.
func DecodeMessage(subject string, seq uint64, data []byte) (event.Event, error) {
	run, ok := arrivalsOf(subject)
	if !ok || !isJSON(data) {
		e, err := Decode(data)
		if err == nil {
			err = fits(subject, e)
		}
		if err != nil {
			return event.Event{}, err
		}
		return e, nil
	}
	prompt := new(experiment.Prompt)
	arrived := event.RequestArrived{Prompt: prompt}
	if err := readUserRequest(data, &arrived); err != nil {
		*prompt = experiment.Prompt{Name: prompt.Name, Flaw: event.Legible(err.Error(), event.MaxReasonBytes)}
		arrived.PromptTokens, arrived.OutputTokens = 0, 0
	}
	id := "id/" + prompt.Name
	if prompt.Name == "" {
		id = "seq/" + strconv.FormatUint(seq, 10)
	}
	arrived.Request = userRequestID(id)
	return event.Event{
		Run: run, Source: event.SourceUser, Seq: seq, Version: event.SchemaVersion, Body: arrived,
	}, nil
}

// UserRequests is where users publish their requests of a run, "*" for all. Nobody's
// word but theirs is believed there, so whoever may publish there speaks for nobody
// else; the replayer's arrivals are on a subject of their own.
func UserRequests(run string) string { return "spot.run." + wild(run) + ".request.arrived" }

// userRequestID never meets the replayer's ids, which count from 0, and fits a
// signed number, for the stores.
func userRequestID(name string) event.RequestID {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash's Write never fails
	return event.RequestID(ofUser | h.Sum64()>>2)
}

// ofUser marks the requests of users.
const ofUser = 1 << 62

// OfUser reports whether a user published the request.
func OfUser(id event.RequestID) bool { return id&ofUser != 0 }

// arrivalsOf names the run whose arrivals are on the subject.
func arrivalsOf(subject string) (run string, ok bool) {
	rest, ok := strings.CutPrefix(subject, "spot.run.")
	if !ok {
		return "", false
	}
	run, rest, _ = strings.Cut(rest, ".")
	return run, checkRun(run) == nil && (rest == "request.arrived" || rest == "request."+string(event.RequestArrived{}.Kind()))
}

// maxUserID bounds the id that a user gives a request, in bytes.
const maxUserID = 128

// userRequest is a request as users write it.
type userRequest struct {
	ID          string   `json:"id"`
	Prompt      *string  `json:"prompt"`
	Tokens      []int32  `json:"tokens"`
	MaxTokens   *int     `json:"max_tokens"`
	Temperature *float32 `json:"temperature"`
	TopP        *float32 `json:"top_p"`
	TopK        *int     `json:"top_k"`
	Seed        *uint64  `json:"seed"`
	Stop        []int32  `json:"stop"`
}

const userKeys = "id, prompt, tokens, max_tokens, temperature, top_p, top_k, seed, stop"

// readUserRequest fills an arrival. Whatever is wrong, the name of the request is
// filled in if it can be read.
func readUserRequest(data []byte, to *event.RequestArrived) error {
	var r userRequest
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	err := in.Decode(&r)
	if len(r.ID) > maxUserID {
		return fmt.Errorf("id has %d bytes: allowed are at most %d", len(r.ID), maxUserID)
	}
	p := to.Prompt
	p.Name = strings.ToValidUTF8(r.ID, "?")
	if err != nil {
		return fmt.Errorf("the request is not the JSON that is allowed: %w; its keys are %s", err, userKeys)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the request: one message is one request")
	}
	if err := r.check(); err != nil {
		return err
	}
	if r.Prompt != nil {
		p.Text = *r.Prompt
	}
	p.Tokens, p.Stop = orNil(r.Tokens), orNil(r.Stop)
	p.Sampling = experiment.SamplingWish{Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, Seed: r.Seed}
	to.PromptTokens = len(p.Tokens)
	if r.MaxTokens != nil {
		to.OutputTokens = *r.MaxTokens
	}
	return nil
}

func (r userRequest) check() error {
	text := r.Prompt != nil && *r.Prompt != ""
	switch {
	case text && len(r.Tokens) > 0:
		return errors.New("prompt and tokens are both given: give exactly one")
	case !text && len(r.Tokens) == 0:
		return errors.New("neither prompt nor tokens is given, or it is empty: give exactly one")
	case text && len(*r.Prompt) > event.MaxPromptBytes:
		return fmt.Errorf("prompt has %d bytes: allowed are at most %d", len(*r.Prompt), event.MaxPromptBytes)
	case len(r.Tokens) > event.MaxPromptTokens:
		return fmt.Errorf("tokens has %d items: allowed are at most %d", len(r.Tokens), event.MaxPromptTokens)
	case len(r.Stop) > maxStops:
		return fmt.Errorf("stop has %d items: allowed are at most %d", len(r.Stop), maxStops)
	case r.MaxTokens != nil && (*r.MaxTokens < 1 || *r.MaxTokens > event.MaxOutputTokens):
		return fmt.Errorf("max_tokens is %d: allowed are 1 to %d", *r.MaxTokens, event.MaxOutputTokens)
	case r.Temperature != nil && *r.Temperature < 0:
		return fmt.Errorf("temperature is %v: must be at least 0", *r.Temperature)
	case r.TopP != nil && (*r.TopP < 0 || *r.TopP > 1):
		return fmt.Errorf("top_p is %v: allowed are 0 to 1", *r.TopP)
	case r.TopK != nil && *r.TopK < 0:
		return fmt.Errorf("top_k is %d: must be at least 0", *r.TopK)
	}
	for _, list := range [][]int32{r.Tokens, r.Stop} {
		for i, t := range list {
			if t < 0 {
				return fmt.Errorf("token %d of a list is %d: must be at least 0", i, t)
			}
		}
	}
	return nil
}

// maxStops bounds the tokens that end an answer beside the run's.
const maxStops = 64
