package render

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

// Status renders a snapshot. Ages are relative to the time of the snapshot,
// so that the clock of meshctl's host does not matter.
type Status struct {
	Snapshot status.Snapshot
	Width    int
	Wide     bool
	Paint    human.Painter
}

// Fprint writes the whole status.
func (s Status) Fprint(w io.Writer) error {
	fmt.Fprintln(w, s.headline())
	kind := "gateway"
	if s.Snapshot.State == status.Node {
		kind = "node"
	}
	s.facts(w, kind, s.gatewayFacts())
	if s.Snapshot.Federation != nil {
		s.facts(w, "federation", s.federationFacts())
		s.heldBack(w)
		s.facts(w, "catalog", s.catalogFacts())
	}
	s.facts(w, "data plane", s.dataplaneFacts())
	if s.Snapshot.Queue.Pending > 0 {
		s.facts(w, "queue", s.queueFacts())
	}
	for _, table := range []human.Table{s.datacenters(), s.paths()} {
		if len(table.Rows) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := table.Fprint(w, s.Width, s.Paint); err != nil {
			return err
		}
	}
	s.problems(w)
	return nil
}

// facts writes one labelled line, wrapped between facts. It omits empty facts.
func (s Status) facts(w io.Writer, name string, facts []human.Cell) {
	facts = slices.DeleteFunc(facts, func(f human.Cell) bool { return f.Text == "" })
	if len(facts) > 0 {
		fmt.Fprintln(w, human.Wrap(label(name), facts, " · ", s.Width, s.Paint))
	}
}

func label(name string) string { return fmt.Sprintf("  %-10s  ", name) }

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

func (s Status) headline() string {
	self, federation := s.Snapshot.Self, s.Snapshot.Federation
	id := human.Clean(self.Datacenter + "/" + self.Gateway)
	name := ""
	if federation != nil {
		name = human.Clean(federation.Name)
	}
	color, text := human.Warn, ""
	switch s.Snapshot.State {
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
		text = id + " is " + human.Clean(string(s.Snapshot.State))
	}
	if color == human.Good && Failing(s.Snapshot) {
		color = human.Bad
	}
	return s.Paint.Paint(color, "●") + " " + text
}

func (s Status) gatewayFacts() []human.Cell {
	self := s.Snapshot.Self
	facts := []human.Cell{labelled("address", self.Overlay), labelled("meshd", s.Snapshot.Version)}
	if !self.StartedAt.IsZero() {
		facts = append(facts, plainFact("up %s", human.Duration(s.Snapshot.At.Sub(self.StartedAt))))
	}
	if self.Witness {
		facts = append(facts, plainFact("a witness"))
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
func (s Status) certificate() human.Cell {
	c := s.Snapshot.Self.Certificate
	if c == nil {
		return human.Cell{}
	}
	fact := plainFact("certificate expires %s", human.Expiry(s.Snapshot.At, c.NotAfter))
	switch left := c.NotAfter.Sub(s.Snapshot.At); {
	case left <= 0:
		fact.Color = human.Bad
	case left < certificateMargin:
		fact.Color = human.Warn
	case !s.Wide:
		return human.Cell{}
	}
	return fact
}

func (s Status) federationFacts() []human.Cell {
	f := s.Snapshot.Federation
	facts := []human.Cell{labelled("overlay", f.Overlay), plainFact("%s", human.Count(len(s.Snapshot.Datacenters), "datacenter"))}
	if s.Wide {
		facts = append(facts, labelled("id", f.ID), plainFact("feature level %d", f.FeatureLevel))
	}
	return facts
}

// heldBack writes which gateways an upgrade has not reached.
func (s Status) heldBack(w io.Writer) {
	held := s.Snapshot.Federation.HeldBack
	if held == nil {
		return
	}
	verb := "hold"
	if len(held.Gateways) == 1 {
		verb = "holds"
	}
	fmt.Fprintln(w, human.WrapWords(label("upgrade"), fmt.Sprintf("%s %s back feature level %d: %s",
		human.Count(len(held.Gateways), "gateway"), verb, held.FeatureLevel, strings.Join(held.Gateways, ", ")), s.Width))
}

func (s Status) catalogFacts() []human.Cell {
	c := s.Snapshot.Catalog
	voters := plainFact("voters healthy %d/%d", c.HealthyVoters, c.Voters)
	if c.HealthyVoters < c.Voters {
		voters.Color = human.Warn
	}
	facts := append(leaderFacts(c), plainFact("term %d", c.Term), plainFact("index %d", c.AppliedIndex), voters,
		labelled("witness", s.witnesses()))
	if s.Wide {
		facts = append(facts, plainFact("committed %d", c.CommitIndex), labelled("timers", c.Timers))
	}
	return facts
}

// witnesses returns the names of the datacenters that only vote.
func (s Status) witnesses() string {
	var names []string
	for _, dc := range s.Snapshot.Datacenters {
		if dc.Witness {
			names = append(names, dc.Name)
		}
	}
	return strings.Join(names, ", ")
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

func (s Status) dataplaneFacts() []human.Cell {
	facts := []human.Cell{}
	for _, t := range s.Snapshot.Tunnels {
		fact := plainFact("%s up (%s, UDP %d, MTU %d)", t.Name, t.Dataplane, t.Port, t.MTU)
		if !t.Up {
			fact = human.Cell{Text: t.Name + " down", Color: human.Bad}
		}
		facts = append(facts, fact)
	}
	d := s.Snapshot.Dataplane
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
	return append(facts, plainFact("applied %s", human.Ago(s.Snapshot.At, d.LastApply)))
}

func (s Status) queueFacts() []human.Cell {
	q := s.Snapshot.Queue
	facts := []human.Cell{{Text: human.Count(q.Pending, "write") + " waiting for a leader", Color: human.Warn}}
	if !q.Since.IsZero() {
		facts = append(facts, plainFact("oldest %s", human.Ago(s.Snapshot.At, q.Since)))
	}
	return facts
}

func (s Status) datacenters() human.Table {
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
	if s.Wide {
		columns = append(columns, []human.Column{
			{Title: "OVERLAY"}, {Title: "ROLE"}, {Title: "LANE"}, {Title: "PATH MTU"}, {Title: "RECEIVED"}, {Title: "SENT"}, {Title: "VERSION"},
		}...)
	}
	table := human.Table{Columns: columns}
	for _, dc := range s.Snapshot.Datacenters {
		for _, gateway := range dc.Gateways {
			row := s.row(dc, gateway)
			if s.Wide {
				row = append(row, wideCells(gateway)...)
			}
			table.Rows = append(table.Rows, row)
		}
	}
	return table
}

func (s Status) row(dc status.Datacenter, g status.Gateway) []human.Cell {
	if g.ID == s.Snapshot.Self.ID {
		cells := human.Text(dc.Name, g.Name, "here", "-", "-", "-", "-", "-")
		cells[2].Color = human.Good
		return cells
	}
	if dc.Self { // no tunnel goes to a gateway of the own datacenter
		return siblingRow(dc, g)
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
		{Text: human.Ago(s.Snapshot.At, g.LastPacket)},
		s.handshake(g),
		{Text: rtt},
		loss,
		{Text: cmp.Or(g.Endpoint, "-")},
	}
}

func siblingRow(dc status.Datacenter, g status.Gateway) []human.Cell {
	cells := human.Text(dc.Name, g.Name, "sibling", "-", "-", "-", "-", "-")
	switch {
	case g.Draining:
		cells[2] = human.Cell{Text: "drained", Color: human.Warn}
	case !g.Up:
		cells[2] = human.Cell{Text: "no", Color: human.Bad}
	}
	return cells
}

func (s Status) handshake(g status.Gateway) human.Cell {
	cell := human.Cell{Text: human.Ago(s.Snapshot.At, g.LastHandshake)}
	if !g.LastHandshake.IsZero() && s.Snapshot.At.Sub(g.LastHandshake) > plan.HandshakeLifetime {
		cell.Color = human.Warn
	}
	return cell
}

func wideCells(g status.Gateway) []human.Cell {
	mtu := "-"
	if g.PathMTU > 0 {
		mtu = strconv.Itoa(g.PathMTU)
	}
	return human.Text(g.Overlay, Role(g), strconv.FormatUint(uint64(g.Index), 10), mtu,
		human.Bytes(g.ReceivedBytes), human.Bytes(g.SentBytes), g.Version)
}

// Role returns the role of a gateway in Raft; "-": it has none.
func Role(g status.Gateway) string {
	if g.Leader {
		return "leader"
	}
	return cmp.Or(g.Role, "-")
}

func (s Status) problems(w io.Writer) {
	problems := slices.Clone(s.Snapshot.Problems)
	slices.SortStableFunc(problems, func(a, b plan.Problem) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Code, b.Code))
	})
	fmt.Fprintln(w)
	for _, failed := range s.Snapshot.Dataplane.Errors {
		s.problem(w, human.Bad, "error", "data plane: "+failed, "")
	}
	for _, p := range problems {
		color := human.Warn
		if isError(p) {
			color = human.Bad
		}
		s.problem(w, color, string(p.Severity), p.Message, p.Remedy)
	}
	if len(problems)+len(s.Snapshot.Dataplane.Errors) == 0 {
		fmt.Fprintln(w, s.Paint.Paint(human.Good, "no problems"))
	}
}

// Failing reports whether there is a problem of severity error or the data plane
// could not be applied.
func Failing(s status.Snapshot) bool {
	return len(s.Dataplane.Errors) > 0 || slices.ContainsFunc(s.Problems, isError)
}

func isError(p plan.Problem) bool { return p.Severity == plan.Error }

func rank(p plan.Problem) int {
	if isError(p) {
		return 0
	}
	return 1
}

func (s Status) problem(w io.Writer, color human.Color, severity, message, remedy string) {
	head := fmt.Sprintf("%-9s", human.Clean(severity))
	text := human.WrapWords(head, message, s.Width)
	fmt.Fprintln(w, s.Paint.Paint(color, head)+strings.TrimPrefix(text, head))
	if remedy != "" {
		fmt.Fprintln(w, human.WrapWords("         remedy: ", remedy, s.Width))
	}
}
