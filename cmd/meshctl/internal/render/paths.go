package render

import (
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// paths lists how a node reaches the gateways of its datacenter.
func (s Status) paths() human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "GATEWAY", Min: 7},
		{Title: "THROUGH"},
		{Title: "ANSWERS"},
		{Title: "RTT"},
	}}
	for _, path := range s.Snapshot.Paths {
		through := "link " + path.Device
		if path.Tunnel {
			through = "tunnel " + path.Device
		}
		answers, rtt := human.Cell{Text: "yes", Color: human.Good}, "-"
		if !path.Answers {
			answers = human.Cell{Text: "no", Color: human.Warn}
		}
		if path.RTT > 0 {
			rtt = human.Duration(path.RTT)
		}
		table.Rows = append(table.Rows, []human.Cell{{Text: path.Gateway}, {Text: through}, answers, {Text: rtt}})
	}
	return table
}
