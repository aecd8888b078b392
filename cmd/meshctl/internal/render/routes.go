package render

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/routes"
)

// ExplainDestination prints the kernel's route to one address.
func ExplainDestination(w io.Writer, d status.Destination) error {
	fmt.Fprintln(w, human.Clean(d.Verdict))
	for _, fact := range []struct{ label, value string }{
		{"address", d.Address.String()},
		{"route", validPrefix(d.Prefix)},
		{"table", tableName(d.Table)},
		{"device", d.Device},
		{"source", d.Source},
	} {
		if fact.value != "" {
			fmt.Fprintf(w, "  %-8s %s\n", fact.label, human.Clean(fact.value))
		}
	}
	return nil
}

func validPrefix(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// tableName names the kernel's own tables (RT_TABLE_* of rtnetlink(7)).
func tableName(table int) string {
	switch table {
	case 0:
		return ""
	case 253:
		return "253 (default)"
	case 254:
		return "254 (main)"
	case 255:
		return "255 (local)"
	default:
		return strconv.Itoa(table)
	}
}

// PrintRules writes one line for each routing rule.
func PrintRules(w io.Writer, paint human.Painter, report status.RoutesReport) {
	for _, rule := range report.Rules {
		fmt.Fprintf(w, "rule %d, IPv%d: %s lookup %d: %s\n", rule.Priority, rule.Family,
			human.Clean(rule.Selector), report.Table, paint.Paint(stateColor(rule.State), human.Clean(rule.State)))
	}
	if len(report.Rules) > 0 {
		fmt.Fprintln(w)
	}
}

// RoutesTable returns one row for each route.
func RoutesTable(list []status.Route) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "PREFIX"},
		{Title: "KIND"},
		{Title: "DATACENTER", Min: 10},
		{Title: "VIA", Min: 10},
		{Title: "STATE"},
		{Title: "PROTOCOL", Drop: 2},
		{Title: "SOURCE", Drop: 1},
	}}
	for _, r := range list {
		via := human.Cell{Text: viaText(r)}
		if slices.ContainsFunc(r.Via, func(v status.Via) bool { return !v.Up }) {
			via.Color = human.Warn
		}
		table.Rows = append(table.Rows, []human.Cell{
			{Text: r.Prefix.String()},
			{Text: cmp.Or(r.Kind, "-")},
			{Text: cmp.Or(r.Datacenter, "-")},
			via,
			{Text: r.State, Color: stateColor(r.State)},
			{Text: protocolName(r.Protocol)},
			{Text: cmp.Or(r.Source, "-")},
		})
	}
	return table
}

func viaText(r status.Route) string {
	texts := make([]string, 0, len(r.Via))
	for _, v := range r.Via {
		text := v.Device
		if v.Gateway != "" {
			text = v.Gateway + " on " + v.Device
		}
		if !v.Up {
			text += " (down)"
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return "blackhole"
	}
	return strings.Join(texts, ", ")
}

func stateColor(state string) human.Color {
	switch state {
	case "installed":
		return human.Good
	case "missing":
		return human.Bad
	case "stale", "blackhole":
		return human.Warn
	case "foreign":
		return human.Dim
	default:
		return human.Plain
	}
}

// protocolName returns the name of the program that created a route (rtm_protocol
// of rtnetlink(7); the numbers of routing daemons are from iproute2's rt_protos).
func protocolName(protocol int) string {
	switch protocol {
	case routes.DefaultProtocol:
		return "meshway"
	case 2:
		return "kernel"
	case 3:
		return "boot"
	case 4:
		return "static"
	case 12:
		return "bird"
	case 16:
		return "dhcp"
	case 186:
		return "bgp"
	default:
		return strconv.Itoa(protocol)
	}
}
