package storetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/spotserve/spotserve/platform/store"
)

// Random returns the rows of runs with the given numbers of requests, drawn from
// the seed and sorted by their keys. About a tenth of the requests is unfinished.
func Random(seed uint64, requests ...int) store.Batch {
	rng := rand.New(rand.NewPCG(seed, 0))
	var b store.Batch
	for i, n := range requests {
		run := fmt.Sprintf("e2e-%03d", i+1)
		b.Runs = append(b.Runs, randomRun(rng, run))
		for id := range n {
			b.Requests = append(b.Requests, randomRequest(rng, run, uint64(id)))
			if id%5 == 0 {
				b.Outputs = append(b.Outputs, store.RequestOutput{
					Run: run, Request: uint64(id), Name: fmt.Sprint("chat-", id), Tokens: fmt.Sprintf("[1,20,%d]", id), Text: "it's \"so\"\n\u00e9",
				})
			}
		}
		for seq := range uint64(rng.IntN(4)) {
			b.Fleet = append(b.Fleet, store.FleetEvent{
				Run: run, Seq: seq, Node: pick(rng, "n1", "n2"), Event: pick(rng, "instance_acquired", "preemption_noticed"),
				Market: pick(rng, "spot", "on-demand"), AtMS: ms(rng), DueMS: maybe(rng, ms(rng)),
			})
		}
		for n := range rng.IntN(4) {
			b.Configs = append(b.Configs, randomConfig(rng, run, fmt.Sprintf("1.%d", n)))
			b.Moves = append(b.Moves, randomMigration(rng, run, fmt.Sprintf("1.%d", n)))
		}
		for n := range rng.IntN(4) {
			from := ms(rng)
			b.Nodes = append(b.Nodes, store.NodeTime{
				Run: run, Node: fmt.Sprintf("n%d", n), Market: pick(rng, "spot", "on-demand"),
				FromMS: from, ToMS: from + ms(rng), USD: rng.Float64(),
			})
		}
	}
	slices.SortFunc(b.Fleet, func(a, b store.FleetEvent) int {
		return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Node, b.Node))
	})
	return b
}

func randomRun(rng *rand.Rand, run string) store.Run {
	return store.Run{
		Run: run, Kind: "e2e", Name: pick(rng, "", "mine"), Approach: pick(rng, "spotserve", "rerouting"),
		Model: pick(rng, "6.7B", "20B"), Trace: pick(rng, "As", "Bs"), Level: rng.IntN(5),
		Arrivals: "artifact", Quirks: "none", Seed: rng.Uint64(), TimeScale: 60, Virtual: rng.IntN(2) == 0,
		Status: "finished", StartedUnixMS: rng.Int64N(1 << 41), DurationMS: ms(rng),
		Accepted: rng.IntN(1000), Completed: rng.IntN(1000), UnfinishedAtEnd: rng.IntN(9), Refused: rng.IntN(9),
		Lost: rng.IntN(9), Duplicated: rng.IntN(9), Dropped: rng.IntN(9), LateFacts: rng.IntN(9), Interruptions: rng.IntN(9),
		TokensRecomputed: rng.IntN(9999), CostUSD: rng.Float64(), USDPerToken: rng.Float64() / 1e6,
		Settings: `{"grace_s":30}`, Version: rng.Uint64N(1 << 40),
	}
}

func randomRequest(rng *rand.Rand, run string, id uint64) store.RequestLatency {
	r := store.RequestLatency{
		Run: run, Request: id, ArrivedMS: ms(rng), StartedMS: maybe(rng, ms(rng)), QueueMS: ms(rng), ComputeMS: ms(rng),
		TokensIn: 1 + rng.IntN(512), TokensOut: 1 + rng.IntN(128), CommittedCarried: rng.IntN(128),
		TokensRecomputed: rng.IntN(128), Interruptions: rng.IntN(3), Pipeline: rng.IntN(4) - 1, Config: "2x3x4",
		Status: pick(rng, "unfinished", "refused"),
	}
	if rng.IntN(10) > 0 {
		latency := ms(rng)
		if rng.IntN(4) == 0 {
			latency = math.Round(latency/1e5) * 1e5 // ties
		}
		finished := r.ArrivedMS + latency
		r.Status, r.FinishedMS, r.LatencyMS = "completed", &finished, &latency
	}
	return r
}

func randomConfig(rng *rand.Rand, run, epoch string) store.ConfigChange {
	return store.ConfigChange{
		Run: run, Epoch: epoch, AtMS: ms(rng), ChangeMS: ms(rng), D: 1 + rng.IntN(4), P: 1 + rng.IntN(4), M: 4, B: 8,
		DevicesChanged: rng.IntN(9), GPUs: rng.IntN(40), LatencyMS: ms(rng), Throughput: rng.Float64(),
		Why: "reaches 0.4 requests/s", RunnersUp: `[{"d":1}]`,
	}
}

func randomMigration(rng *rand.Rand, run, epoch string) store.Migration {
	return store.Migration{
		Run: run, Epoch: epoch, BeginMS: ms(rng), ReadyMS: ms(rng), DeadlineMS: maybe(rng, ms(rng)), EstimateMS: ms(rng),
		Steps: rng.IntN(99), ModelBytes: rng.Int64(), CacheBytes: rng.Int64(), DiskBytes: rng.Int64(),
		InterNodeBytes: rng.Int64(), BusiestNodeBytes: rng.Int64(), ResumedRequests: rng.IntN(9), RequeuedRequests: rng.IntN(9),
	}
}

func ms(rng *rand.Rand) float64 { return rng.Float64() * 1e6 }

func maybe(rng *rand.Rand, v float64) *float64 {
	if rng.IntN(2) == 0 {
		return nil
	}
	return &v
}

func pick(rng *rand.Rand, from ...string) string { return from[rng.IntN(len(from))] }
