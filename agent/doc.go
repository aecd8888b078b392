// Package agent is meshd: it keeps one gateway in its federation. Data flows
// one way:
//
//	config · catalog · kernel events · liveness · local registrations
//	     → plan.Inputs → plan.Compute (pure) → plan.Desired + []plan.Problem
//	     → tunnel, routes, firewall (inline) · registrations (own worker)
//	     → observed → status.Snapshot → /metrics · readiness · meshctl
//
// What was observed enters only the next pass.
package agent
