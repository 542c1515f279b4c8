package figure

// sheets are drawings by the names of their golden files.
func sheets() map[string]Drawing {
	text := func(title string) Text {
		return Text{
			Title: title, Caption: []string{"arrivals: artifact", "quirks: none", "3 seeds (median, min to max)"},
			Notes: []string{"not in the store: 30B reparallelization (Bs)"},
		}
	}
	tail := func(scale float64) []TailSeries {
		return []TailSeries{
			{"SpotServe", 0, spreadOut(25*scale, 58*scale, .03, 3)}, {"Rerouting", 1, spreadOut(60*scale, 180*scale, .05, 3)},
		}
	}
	short := cases()["case"].(Case)
	for i := range short.Series {
		short.Series[i].Requests = short.Series[i].Requests[:min(20, len(short.Series[i].Requests))]
	}
	return map[string]Drawing{
		"sheet-tails": TailSheet{Text: text("End-to-end latency"), Rows: [][]TailPanel{
			{{"20B on As", tail(1)}, {"20B on Bs", tail(.2)}},
			{{"30B on As", tail(12)[1:]}, {"30B on Bs", nil}},
		}},
		"sheet-workload": WorkloadSheet{Text: text("A fluctuating workload"), Columns: []WorkloadColumn{
			{"(e) trace A", tail(1), "(g) trace A", short},
			{"(f) trace B", tail(3), "(h) trace B", Case{}},
		}},
		"sheet-ablation": AblationSheet{Text: text("Ablation"), Panels: []AblationPanel{
			{"20B on As", []Level{{"SpotServe", []Latency{{28, 42}, {27, 45}}}, {"– device\nmapper", nil}}},
			{"20B on Bs", []Level{{"SpotServe", nil}, {"– device\nmapper", []Latency{{67, 144}}}}},
		}},
	}
}
