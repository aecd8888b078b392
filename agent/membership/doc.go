// Package membership keeps one gateway in its federation: it initializes,
// joins, enrols, drains, leaves and removes, runs a member.Member while the
// gateway is one, and starts the data plane and the registrar with it.
//
// decide.go decides whether this host joins, enrols or cleans up, and is pure; the
// reconciler gathers its input and executes its decision. Commands of an operator
// (Agent.Init, Agent.Join, Agent.Leave) and decisions exclude each other.
package membership
