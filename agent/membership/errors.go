package membership

import (
	"fmt"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// Codes of the refusals of a command that the state of this gateway does not
// allow. They are stable.
const (
	codeAlreadyMember      = "already-a-member"
	codeSiteUnknown        = "site-unknown"
	codeSharedStateUnknown = "siblings-unknown"
	codeLocked             = "being-founded"
	codeBusy               = "busy"
	codeStarting           = "starting"
)

// notMember returns why a command needs a membership that does not run: there is none,
// or the agent has just been started and has not opened it.
func (a *Agent) notMember() error {
	if _, found, err := a.cfg.Identity.Membership(); err == nil && found {
		return starting("opened the catalog of its federation")
	}
	return &catalog.Refusal{
		Code:    "not-a-member",
		Message: "this gateway is in no federation",
		Remedy:  "initialize one with meshctl init, or join one with meshctl join TOKEN",
	}
}

func starting(lacks string) error {
	return &catalog.Refusal{
		Code:    codeStarting,
		Message: "the agent is starting and has not " + lacks,
		Remedy:  "try again in a few seconds; if this lasts, read the log of meshd",
	}
}

func siteUnknown() error {
	return &catalog.Refusal{
		Code:    codeSiteUnknown,
		Message: "the prefixes of this datacenter are not known yet: its cluster has not answered",
		Remedy:  "check that the API server is reachable from this gateway (kubernetes.kubeconfig), then try again",
	}
}

func alreadyMember(m identity.Membership) error {
	return &catalog.Refusal{
		Code:    codeAlreadyMember,
		Message: fmt.Sprintf("this gateway is already in federation %s (%s)", m.FederationName, m.FederationID),
		Remedy:  "run meshctl status to inspect it; to move to another federation run meshctl leave first",
	}
}

func notEnrolled(m identity.DatacenterMembership, dc catalog.DatacenterName) error {
	return &catalog.Refusal{
		Code:    "not-enrolled",
		Message: fmt.Sprintf("datacenter %s is in federation %s, but this gateway has not enrolled in it", dc, m.FederationName),
		Remedy:  "wait until it has, or read in meshctl status why it cannot; meshctl leave --force ends the membership of the whole datacenter on this side only",
	}
}

func busy() error {
	return &catalog.Refusal{
		Code:    codeBusy,
		Message: "another init, join or leave is running on this gateway",
		Remedy:  "wait until it has ended; meshctl status shows the state",
	}
}
