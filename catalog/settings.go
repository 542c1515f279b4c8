package catalog

import (
	"math"
	"slices"

	"github.com/spotserve/spotserve/core/experiment"
)

// checkName checks the name that the file gives the experiment. A start may call
// its run otherwise.
func (s *settler) checkName() {
	c, name := s.doc.part(""), s.file.Name
	c.text("name", name)
	c.holds("name", name == "" || experimentName.MatchString(name), "is %q, allowed are 1 to 100 letters, digits, -, _ and .", shorten(name))
}

// check checks the settings of an experiment file that are values.
func (s *settler) check() {
	c, f := s.doc.part(""), s.file
	oneOf(c, "approach", string(f.Approach), Approaches())
	most := len(Levels()) - 1
	c.holds("level", f.Level >= 0 && f.Level <= most, "is %d, allowed is 0 to %d", f.Level, most)
	c.holds("level", f.Level == 0 || f.Approach == experiment.SpotServe, "is %d, but approach %s has no levels", f.Level, f.Approach)
	c.holds("seed", !s.doc.has("seed") || !s.doc.has("seeds"), "and seeds are both given")
	for _, seed := range s.seeds() {
		key := "seed"
		if s.doc.has("seeds") {
			key = "seeds"
		}
		c.holds(key, seed > 0, "is 0, allowed are whole numbers from 1")
	}
	c.holds("time_scale", f.TimeScale > 0 && !math.IsInf(f.TimeScale, 1), "is %v, allowed are positive, finite numbers of experiment seconds a second", f.TimeScale)
	oneOf(c, "quirks", string(f.Quirks), QuirkSettings())
	c.notNegative("grace_s", f.GraceS, maxGraceS)
	oneOf(c, "objective", string(f.Objective), Objectives())
	if s.doc.has("slo_p99_s") {
		c.positive("slo_p99_s", f.SLOP99S, maxTrace.Seconds())
	} else {
		c.holds("slo_p99_s", f.Objective != experiment.MeetSLO, "is missing: objective %s needs a target", experiment.MeetSLO)
	}
	c.positive("headroom", f.Headroom, maxHeadroom)
	c.notNegative("rate_window_s", f.RateWindowS, maxRateWindowS)
	oneOf(c, "batching", string(f.Batching), Batchings())
	c.count("batch_limit", f.BatchLimit, maxBatch)
	c.count("pool_depth", f.PoolDepth, maxPoolDepth)
	c.count("commit_interval_tokens", f.CommitIntervalTokens, maxTokens)
	oneOf(c, "compute", f.Compute, Computes())
	c.positive("migration_buffer_gib", f.MigrationBufferGiB, maxBufferGiB)
}

// oneOf requires a name that is among the allowed ones.
func oneOf(c *checker, key, got string, allowed []string) {
	if !slices.Contains(allowed, got) {
		c.requireAt(key, false, "%v", refuseUnknown(key, shorten(got), allowed))
	}
}

// Objectives returns what the controller may look for, the default first.
func Objectives() []string {
	return asStrings([]experiment.Objective{experiment.MinLatency, experiment.MeetSLO, experiment.MinCost})
}

// continuous reports whether batches of any size run.
func (s *settler) continuous() bool { return s.file.Batching == experiment.Continuous }
