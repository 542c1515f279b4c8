package wire_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/wire"
)

// What decodes, encodes again to the same event; nothing panics.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, b := range runBodies {
		data, err := wire.Encode(randomEvent(r, random(r, b)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := wire.Decode(data)
		if err != nil {
			return
		}
		again, err := wire.Encode(e)
		if e.Version > event.SchemaVersion {
			if err == nil {
				t.Fatalf("an event of version %d is written, which this build only reads", e.Version)
			}
			return
		}
		if err != nil {
			t.Fatalf("decoded, but: %v", err)
		}
		got, err := wire.Decode(again)
		if err != nil {
			t.Fatalf("encoded, but: %v", err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("got  %+v\nwant %+v", got, e)
		}
		if subject, err := wire.Subject(e); err == nil && !matches(wire.RunFilter(e.Run), subject) {
			t.Fatalf("%s is not matched by its run's filter", subject)
		}
	})
}

// A start that is accepted means the same when written again.
func FuzzDecodeStart(f *testing.F) {
	for _, seed := range []string{
		`{"e2e":{"approach":"spotserve","model":"20B","trace":"As"}}`,
		`{"ondemand":{"nodes":"3"},"options":{"seed":5,"timeScale":1e2,"drain":true}}`,
		`{"workload":{"approach":"rerouting","trace":"A"},"options":{"name":"\u00e4","quirks":"none"}}`,
		`{"ablation":{"level":0,"trace":"A"}}`,
		`{"custom":{"yaml":"a: b\n"}}`,
		`{"e2f":[{}]}`, `{"e2e":{"model":null}}`, ` {`, "\n{",
		"\x12\x13\x0a\x09spotserve\x12\x0220\x1a\x02As",
		"\x1a\x02\x08\x03",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := wire.DecodeStart(data)
		if err != nil {
			return
		}
		again, err := wire.EncodeControl(s)
		if err != nil {
			t.Fatalf("decoded, but: %v", err)
		}
		got, err := wire.DecodeControl(wire.SubjectStart, again)
		if err != nil {
			t.Fatalf("encoded as %s, but: %v", again, err)
		}
		if !reflect.DeepEqual(got, event.Body(s)) {
			t.Fatalf("got  %+v\nwant %+v", got, s)
		}
	})
}
