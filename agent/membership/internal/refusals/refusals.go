// Package refusals returns the refusals of commands that the state of a gateway does not
// allow.
package refusals

import (
	"fmt"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// Codes of the refusals of a command that the state of this gateway does not
// allow. They are stable.
const (
	CodeAlreadyMember      = "already-a-member"
	CodeSiteUnknown        = "site-unknown"
	CodeSharedStateUnknown = "siblings-unknown"
	CodeLocked             = "being-founded"
	CodeBusy               = "busy"
	CodeStarting           = "starting"
)

// Starting refuses a command while the agent lacks something that it does at its start.
func Starting(lacks string) error {
	return &catalog.Refusal{
		Code:    CodeStarting,
		Message: "the agent is starting and has not " + lacks,
		Remedy:  "try again in a few seconds; if this lasts, read the log of meshd",
	}
}

// SiteUnknown refuses a command that needs the prefixes of the datacenter.
func SiteUnknown() error {
	return &catalog.Refusal{
		Code:    CodeSiteUnknown,
		Message: "the prefixes of this datacenter are not known yet: its cluster has not answered",
		Remedy:  "check that the API server is reachable from this gateway (kubernetes.kubeconfig), then try again",
	}
}

// AlreadyMember refuses an init or a join of a gateway that is in a federation.
func AlreadyMember(m identity.Membership) error {
	return &catalog.Refusal{
		Code:    CodeAlreadyMember,
		Message: fmt.Sprintf("this gateway is already in federation %s (%s)", m.FederationName, m.FederationID),
		Remedy:  "run meshctl status to inspect it; to move to another federation run meshctl leave first",
	}
}

// NotEnrolled refuses a command of a gateway that has not enrolled in the federation of
// its datacenter.
func NotEnrolled(m identity.DatacenterMembership, dc catalog.DatacenterName) error {
	return &catalog.Refusal{
		Code:    "not-enrolled",
		Message: fmt.Sprintf("datacenter %s is in federation %s, but this gateway has not enrolled in it", dc, m.FederationName),
		Remedy:  "wait until it has, or read in meshctl status why it cannot; meshctl leave --force ends the membership of the whole datacenter on this side only",
	}
}

// Busy refuses a command while another one changes the membership.
func Busy() error {
	return &catalog.Refusal{
		Code:    CodeBusy,
		Message: "another init, join or leave is running on this gateway",
		Remedy:  "wait until it has ended; meshctl status shows the state",
	}
}

// SharedStateUnknown refuses a command that needs the state that the gateways of the
// datacenter share.
func SharedStateUnknown(err error) error {
	return &catalog.Refusal{
		Code:    CodeSharedStateUnknown,
		Message: "the shared state of the gateways of this datacenter cannot be read: " + err.Error(),
		Remedy:  "check that the API server is reachable from this gateway and that the chart's Secret (kubernetes.identitySecret) exists, then try again",
	}
}
