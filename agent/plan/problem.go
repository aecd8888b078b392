package plan

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// Severity is the severity of a problem.
type Severity string

// The severities.
const (
	Warning Severity = "warning" // works, but degraded or at risk
	Error   Severity = "error"   // a promised function does not work
)

// Problem is a condition that an operator should correct.
type Problem struct {
	Code     string   `json:"code"` // stable, for programs: "prefix-overlap"
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // the object concerned: "datacenter west"
	Message  string   `json:"message"` // a sentence that contains the subject
	Remedy   string   `json:"remedy"`  // what to do, as an instruction
}

// CompareProblems orders errors before warnings, then by code, subject and message.
func CompareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(a.Code, b.Code),
		cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Message, b.Message))
}

func rank(s Severity) int {
	if s == Error {
		return 0
	}
	return 1
}

// Problems are the problems that a plan has found so far.
type Problems []Problem

// AddError adds a problem of severity error.
func (p *Problems) AddError(code, subject, message, remedy string) {
	*p = append(*p, Problem{Code: code, Severity: Error, Subject: subject, Message: message, Remedy: remedy})
}

// AddWarning adds a problem of severity warning.
func (p *Problems) AddWarning(code, subject, message, remedy string) {
	*p = append(*p, Problem{Code: code, Severity: Warning, Subject: subject, Message: message, Remedy: remedy})
}

// Sorted returns the problems in the order of CompareProblems.
func (p Problems) Sorted() []Problem {
	return slices.SortedFunc(slices.Values(p), CompareProblems)
}

// GatewaySubject returns the subject of a problem with a gateway.
func GatewaySubject(id catalog.GatewayID) string { return "gateway " + string(id) }

// DatacenterSubject returns the subject of a problem with a datacenter.
func DatacenterSubject(name catalog.DatacenterName) string { return "datacenter " + string(name) }

// NodeSubject returns the subject of a problem with a node.
func NodeSubject(name string) string { return "node " + name }
