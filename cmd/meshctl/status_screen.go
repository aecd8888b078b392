package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// statusScreen renders a snapshot. Ages are relative to the time of the snapshot,
// so that the clock of meshctl's host does not matter.
type statusScreen struct {
	snapshot status.Snapshot
	width    int
	wide     bool
	paint    human.Painter
}

func (s statusScreen) fprint(w io.Writer) error {
	fmt.Fprintln(w, s.headline())
	kind := "gateway"
	if s.snapshot.State == status.Node {
		kind = "node"
	}
	s.facts(w, kind, s.gatewayFacts())
	if s.snapshot.Federation != nil {
		s.facts(w, "federation", s.federationFacts())
		s.facts(w, "catalog", s.catalogFacts())
	}
	s.facts(w, "data plane", s.dataplaneFacts())
	if s.snapshot.Queue.Pending > 0 {
		s.facts(w, "queue", s.queueFacts())
	}
	for _, table := range []human.Table{s.datacenters(), s.paths()} {
		if len(table.Rows) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := table.Fprint(w, s.width, s.paint); err != nil {
			return err
		}
	}
	s.problems(w)
	return nil
}

// facts writes one labelled line, wrapped between facts. It omits empty facts.
func (s statusScreen) facts(w io.Writer, label string, facts []human.Cell) {
	facts = slices.DeleteFunc(facts, func(f human.Cell) bool { return f.Text == "" })
	if len(facts) > 0 {
		fmt.Fprintln(w, human.Wrap(fmt.Sprintf("  %-10s  ", label), facts, " · ", s.width, s.paint))
	}
}

func plainFact(format string, args ...any) human.Cell {
	return human.Cell{Text: fmt.Sprintf(format, args...)}
}

// labelled returns an empty fact if value is empty.
func labelled(label, value string) human.Cell {
	if value == "" {
		return human.Cell{}
	}
	return plainFact("%s %s", label, value)
}

func (s statusScreen) headline() string {
	self, federation := s.snapshot.Self, s.snapshot.Federation
	id := human.Clean(self.Datacenter + "/" + self.Gateway)
	name := ""
	if federation != nil {
		name = human.Clean(federation.Name)
	}
	color, text := human.Warn, ""
	switch s.snapshot.State {
	case status.Member:
		color, text = human.Good, id+" is a member of federation "+name
	case status.Standalone:
		text = id + " is in no federation: run `meshctl init` or `meshctl join`"
	case status.Joining:
		text = id + " is joining a federation"
	case status.Leaving:
		text = id + " is leaving federation " + name
	case status.Node:
		color, text = human.Good, id+" is a node: it routes through the gateways of its cluster"
	default:
		text = id + " is " + human.Clean(string(s.snapshot.State))
	}
	if color == human.Good && failing(s.snapshot) {
		color = human.Bad
	}
	return s.paint.Paint(color, "●") + " " + text
}

func (s statusScreen) gatewayFacts() []human.Cell {
	self := s.snapshot.Self
	facts := []human.Cell{labelled("address", self.Overlay), labelled("meshd", s.snapshot.Version)}
	if !self.StartedAt.IsZero() {
		facts = append(facts, plainFact("up %s", human.Duration(s.snapshot.At.Sub(self.StartedAt))))
	}
	if self.Draining {
		facts = append(facts, human.Cell{Text: "drained", Color: human.Warn})
	}
	return append(facts, s.certificate())
}

// certificateMargin is the remaining validity of a 24 h certificate at which its
// renewal is clearly overdue.
const certificateMargin = 4 * time.Hour

// certificate returns a fact only with s.wide or if the certificate is about to
// expire.
func (s statusScreen) certificate() human.Cell {
	c := s.snapshot.Self.Certificate
	if c == nil {
		return human.Cell{}
	}
	fact := plainFact("certificate expires %s", expiry(s.snapshot.At, c.NotAfter))
	switch left := c.NotAfter.Sub(s.snapshot.At); {
	case left <= 0:
		fact.Color = human.Bad
	case left < certificateMargin:
		fact.Color = human.Warn
	case !s.wide:
		return human.Cell{}
	}
	return fact
}

func (s statusScreen) federationFacts() []human.Cell {
	f := s.snapshot.Federation
	facts := []human.Cell{labelled("overlay", f.Overlay), plainFact("%s", human.Count(len(s.snapshot.Datacenters), "datacenter"))}
	if s.wide {
		facts = append(facts, labelled("id", f.ID))
	}
	return facts
}

func (s statusScreen) catalogFacts() []human.Cell {
	c := s.snapshot.Catalog
	voters := plainFact("voters healthy %d/%d", c.HealthyVoters, c.Voters)
	if c.HealthyVoters < c.Voters {
		voters.Color = human.Warn
	}
	facts := append(leaderFacts(c), plainFact("term %d", c.Term), plainFact("index %d", c.AppliedIndex), voters)
	if s.wide {
		facts = append(facts, plainFact("committed %d", c.CommitIndex), labelled("timers", c.Timers))
	}
	return facts
}

func leaderFacts(c status.Catalog) []human.Cell {
	switch {
	case c.Role == "leader":
		return []human.Cell{{Text: "leader here", Color: human.Good}}
	case c.Leader == "":
		return []human.Cell{plainFact("%s", c.Role), {Text: "no known leader", Color: human.Bad}}
	default:
		return []human.Cell{plainFact("%s", c.Role), plainFact("leader %s, last contact %s ago", c.Leader, human.Duration(c.LastContact))}
	}
}

func (s statusScreen) dataplaneFacts() []human.Cell {
	facts := []human.Cell{}
	for _, t := range s.snapshot.Tunnels {
		fact := plainFact("%s up (%s, UDP %d, MTU %d)", t.Name, t.Dataplane, t.Port, t.MTU)
		if !t.Up {
			fact = human.Cell{Text: t.Name + " down", Color: human.Bad}
		}
		facts = append(facts, fact)
	}
	d := s.snapshot.Dataplane
	if d.LastApply.IsZero() {
		return facts
	}
	facts = append(facts, plainFact("%s", human.Count(d.Routes, "route")))
	if d.ForeignRoutes > 0 {
		facts = append(facts, plainFact("%d foreign", d.ForeignRoutes))
	}
	if d.Repaired > 0 {
		facts = append(facts, plainFact("%d repaired", d.Repaired))
	}
	return append(facts, plainFact("applied %s", human.Ago(s.snapshot.At, d.LastApply)))
}

func (s statusScreen) queueFacts() []human.Cell {
	q := s.snapshot.Queue
	facts := []human.Cell{{Text: human.Count(q.Pending, "write") + " waiting for a leader", Color: human.Warn}}
	if !q.Since.IsZero() {
		facts = append(facts, plainFact("oldest %s", human.Ago(s.snapshot.At, q.Since)))
	}
	return facts
}

func (s statusScreen) datacenters() human.Table {
	columns := []human.Column{
		{Title: "DATACENTER", Min: 10},
		{Title: "GATEWAY", Min: 7},
		{Title: "REACHABLE"},
		{Title: "LAST PACKET"},
		{Title: "HANDSHAKE"},
		{Title: "RTT"},
		{Title: "LOSS", Drop: 2},
		{Title: "ENDPOINT", Min: 12, Drop: 1},
	}
	if s.wide {
		columns = append(columns, []human.Column{
			{Title: "OVERLAY"}, {Title: "ROLE"}, {Title: "LANE"}, {Title: "RECEIVED"}, {Title: "SENT"}, {Title: "VERSION"},
		}...)
	}
	table := human.Table{Columns: columns}
	for _, dc := range s.snapshot.Datacenters {
		for _, gateway := range dc.Gateways {
			row := s.row(dc, gateway)
			if s.wide {
				row = append(row, wideCells(gateway)...)
			}
			table.Rows = append(table.Rows, row)
		}
	}
	return table
}

func (s statusScreen) row(dc status.Datacenter, g status.Gateway) []human.Cell {
	if g.ID == s.snapshot.Self.ID {
		cells := human.Text(dc.Name, g.Name, "here", "-", "-", "-", "-", "-")
		cells[2].Color = human.Good
		return cells
	}
	reachable, loss := human.Cell{Text: "yes", Color: human.Good}, human.Cell{Text: human.Percent(g.Loss)}
	switch {
	case g.Draining:
		reachable = human.Cell{Text: "drained", Color: human.Warn}
	case !g.Up:
		reachable = human.Cell{Text: "no", Color: human.Bad}
	}
	if g.Loss > 0 {
		loss.Color = human.Warn
	}
	rtt := "-"
	if g.RTT > 0 {
		rtt = human.Duration(g.RTT)
	}
	return []human.Cell{
		{Text: dc.Name},
		{Text: g.Name},
		reachable,
		{Text: human.Ago(s.snapshot.At, g.LastPacket)},
		s.handshake(g),
		{Text: rtt},
		loss,
		{Text: orElse(g.Endpoint, "-")},
	}
}

// rejectAfter is the lifetime of a WireGuard session after its handshake
// (REJECT_AFTER_TIME of the WireGuard paper, §6.1).
const rejectAfter = 180 * time.Second

func (s statusScreen) handshake(g status.Gateway) human.Cell {
	cell := human.Cell{Text: human.Ago(s.snapshot.At, g.LastHandshake)}
	if !g.LastHandshake.IsZero() && s.snapshot.At.Sub(g.LastHandshake) > rejectAfter {
		cell.Color = human.Warn
	}
	return cell
}

func wideCells(g status.Gateway) []human.Cell {
	return human.Text(g.Overlay, role(g), strconv.FormatUint(uint64(g.Index), 10),
		human.Bytes(g.ReceivedBytes), human.Bytes(g.SentBytes), g.Version)
}

func role(g status.Gateway) string {
	if g.Leader {
		return "leader"
	}
	return orElse(g.Role, "-")
}

func (s statusScreen) problems(w io.Writer) {
	problems := slices.Clone(s.snapshot.Problems)
	slices.SortStableFunc(problems, func(a, b plan.Problem) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Code, b.Code))
	})
	fmt.Fprintln(w)
	for _, failed := range s.snapshot.Dataplane.Errors {
		s.problem(w, human.Bad, "error", "data plane: "+failed, "")
	}
	for _, p := range problems {
		color := human.Warn
		if isError(p) {
			color = human.Bad
		}
		s.problem(w, color, string(p.Severity), p.Message, p.Remedy)
	}
	if len(problems)+len(s.snapshot.Dataplane.Errors) == 0 {
		fmt.Fprintln(w, s.paint.Paint(human.Good, "no problems"))
	}
}

func rank(p plan.Problem) int {
	if isError(p) {
		return 0
	}
	return 1
}

func (s statusScreen) problem(w io.Writer, color human.Color, severity, message, remedy string) {
	head := fmt.Sprintf("%-9s", human.Clean(severity))
	text := human.WrapWords(head, message, s.width)
	fmt.Fprintln(w, s.paint.Paint(color, head)+strings.TrimPrefix(text, head))
	if remedy != "" {
		fmt.Fprintln(w, human.WrapWords("         remedy: ", remedy, s.width))
	}
}
