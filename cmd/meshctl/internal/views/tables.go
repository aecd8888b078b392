package views

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// PeersTable returns one row for each Raft member.
func PeersTable(peers []Peer) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "ID", Min: 10},
		{Title: "ADDRESS", Min: 12, Drop: 1},
		{Title: "SUFFRAGE"},
		{Title: "LEADER"},
		{Title: "HEALTHY"},
		{Title: "LAST CONTACT"},
		{Title: "INDEX", Right: true, Drop: 2},
	}}
	for _, p := range peers {
		contact, index := "-", "-"
		if p.LastContact != nil {
			contact = human.Duration(*p.LastContact) + " ago"
		}
		if p.LastIndex > 0 {
			index = strconv.FormatUint(p.LastIndex, 10)
		}
		table.Rows = append(table.Rows, []human.Cell{
			{Text: p.ID},
			{Text: p.Address},
			{Text: p.Suffrage},
			yesNo(p.Leader, human.Bold, human.Plain),
			yesNo(p.Healthy, human.Good, human.Bad),
			{Text: contact},
			{Text: index},
		})
	}
	return table
}

func yesNo(value bool, yes, no human.Color) human.Cell {
	if value {
		return human.Cell{Text: "yes", Color: yes}
	}
	return human.Cell{Text: "no", Color: no}
}

// Staleness describes the age of a stale read.
func Staleness(f Freshness) string {
	leader := "no known leader"
	if f.Leader != "" {
		leader = fmt.Sprintf("last contact with leader %s %s ago", f.Leader, human.Duration(f.LastContact))
	}
	return fmt.Sprintf("from the local copy at index %d; %s", f.Index, leader)
}

// ServicesTable returns one row for each registered service and each export.
func ServicesTable(services []Service, exports []ExportedService) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "NAME", Min: 8},
		{Title: "NAMESPACE", Min: 9, Drop: 3},
		{Title: "DATACENTER", Min: 10},
		{Title: "ADDRESS", Min: 12},
		{Title: "PORTS", Min: 8},
		{Title: "INSTANCE", Min: 8, Drop: 2},
		{Title: "OWNER", Min: 8, Drop: 1},
		{Title: "LABELS", Min: 6, Drop: 1},
		{Title: "INDEX", Right: true, Drop: 1},
	}}
	for _, s := range services {
		table.Rows = append(table.Rows, human.Text(s.Name, s.Namespace, s.Datacenter, s.Address, portList(s.Ports),
			cmp.Or(s.Instance, "-"), s.Owner, cmp.Or(labelList(s.Labels), "-"), strconv.FormatUint(s.Index, 10)))
	}
	for _, e := range exports {
		endpoints := fmt.Sprintf("%d/%d ready", e.Ready, e.Endpoints)
		table.Rows = append(table.Rows, human.Text(e.Name, e.Namespace, e.Datacenter, endpoints, portList(e.Ports),
			"-", "ServiceExport", cmp.Or(labelList(e.Labels), "-"), strconv.FormatUint(e.Index, 10)))
	}
	return table
}

func portList(ports []Port) string {
	texts := make([]string, 0, len(ports))
	for _, p := range ports {
		text := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.Name != "" {
			text = p.Name + ":" + text
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}

func labelList(labels map[string]string) string {
	texts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, key+"="+labels[key])
	}
	return strings.Join(texts, ",")
}

// TokensTable returns one row for each token; now is the time of ages.
func TokensTable(tokens []Token, now time.Time) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "ID", Min: 8}, {Title: "STATE"}, {Title: "FOR", Min: 8}, {Title: "EXPIRES"}, {Title: "USED BY", Min: 8}, {Title: "CREATED BY", Min: 10, Drop: 1},
	}}
	for _, t := range tokens {
		color := human.Dim
		if t.State == "valid" {
			color = human.Good
		}
		usedBy := "-"
		if t.UsedBy != "" {
			usedBy = fmt.Sprintf("%s, %s", t.UsedBy, human.Ago(now, t.UsedAt))
		}
		table.Rows = append(table.Rows, []human.Cell{
			{Text: t.ID},
			{Text: t.State, Color: color},
			{Text: cmp.Or(t.Datacenter, "any")},
			{Text: human.Expiry(now, t.ExpiresAt)},
			{Text: usedBy},
			{Text: t.CreatedBy},
		})
	}
	return table
}
