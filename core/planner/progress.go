package planner

// Stage is how far a reconfiguration has come.
type Stage int

// The stages.
const (
	Steady    Stage = iota // none is going on
	Awaiting               // one that stops nobody waits for its instances
	Arranging              // pipelines decode their last tokens before they exit
	Planning               // all that have to stop have exited, the plan is being made
	Starting               // the plan is out, pipelines come up
)

// String names the stage.
func (s Stage) String() string {
	return [...]string{"steady", "awaiting", "arranging", "planning", "starting"}[s]
}

// Progress tells how far the reconfiguration has come that follows, or in Starting
// has followed, the plan of number plans. Plans are counted over all leaders of a
// run, so the one that comes next has the number plans + 1 under whoever leads.
func (m *MetaContextManager) Progress() (stage Stage, plans uint64) {
	switch {
	case m.finished:
	case m.phase == arranging:
		stage = Arranging
	case m.phase == planning:
		stage = Planning
	case m.phase == starting:
		stage = Starting
	case m.adding:
		stage = Awaiting
	}
	return stage, m.plans
}
