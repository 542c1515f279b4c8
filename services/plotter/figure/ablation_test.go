package figure

func ablations() map[string]Drawing {
	level := func(label string, avg float64, seeds int) Level {
		l := Level{Label: label}
		for i := range seeds {
			f := 1 + .03*float64(i)
			l.Seeds = append(l.Seeds, Latency{avg * f, 2 * avg * f * f})
		}
		return l
	}
	return map[string]Drawing{
		"ablation": Ablation{
			Text: Text{
				Title: "20B on Bs: ablation of SpotServe", Caption: []string{"arrivals: artifact", "3 seeds"},
				Notes: []string{"not in the store: level 3"},
			},
			Levels: []Level{
				level("SpotServe", 28, 3), level("– controller", 54, 3), level("– migration\nplanner", 65, 1),
				level("– interruption\narranger", 70, 0), level("– device\nmapper", 71, 2),
			},
		},
		"ablation-zero": Ablation{Text: Text{Title: "nothing to wait for"}, Levels: []Level{level("SpotServe", 0, 1)}},
	}
}
