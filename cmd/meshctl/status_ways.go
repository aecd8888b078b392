package main

import (
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// ways are how a node that is no gateway reaches those of its datacenter.
func (s statusScreen) ways() human.Table {
	table := human.Table{Columns: []human.Column{{Title: "GATEWAY", Min: 7}, {Title: "THROUGH"}, {Title: "ANSWERS"}, {Title: "RTT"}}}
	for _, w := range s.snapshot.Paths {
		through := "link " + w.Device
		if w.Tunnel {
			through = "tunnel " + w.Device
		}
		answers, rtt := human.Cell{Text: "yes", Color: human.Good}, "-"
		if !w.Answers {
			answers = human.Cell{Text: "no", Color: human.Warn}
		}
		if w.RTT > 0 {
			rtt = human.Duration(w.RTT)
		}
		table.Rows = append(table.Rows, []human.Cell{{Text: w.Gateway}, {Text: through}, answers, {Text: rtt}})
	}
	return table
}
