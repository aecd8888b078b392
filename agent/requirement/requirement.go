// Package requirement checks that a host has what its data plane uses: programs,
// features of the kernel, and the permission to use them. A host that is in no
// federation uses none of it yet, and would find out only when it joins one.
package requirement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
)

// The codes of the problems.
const (
	codeFirewall = "firewall-unsupported"
	codeTunnels  = "tunnels-unsupported"
	codeRouting  = "routing-unsupported"
)

// Is reports whether a problem is that of a requirement.
func Is(p plan.Problem) bool {
	return p.Code == codeFirewall || p.Code == codeTunnels || p.Code == codeRouting
}

// Requirement is one thing that the data plane uses.
type Requirement struct {
	code, without string
	remedy        func(error) string
	check         func(context.Context) error
}

// Firewall returns the requirement of the firewall. check changes nothing, and
// returns why the host cannot have it, or nil.
func Firewall(check func(context.Context) error) Requirement {
	return Requirement{
		code: codeFirewall, without: "has no firewall against spoofed and unencrypted packets",
		remedy: firewallRemedy, check: check,
	}
}

// Tunnels returns the requirement of WireGuard.
func Tunnels(check func(context.Context) error) Requirement {
	return Requirement{code: codeTunnels, without: "can have no tunnels", remedy: tunnelsRemedy, check: check}
}

// Routing returns the requirement of routes and forwarding.
func Routing(check func(context.Context) error) Requirement {
	return Requirement{code: codeRouting, without: "cannot forward packets", remedy: routingRemedy, check: check}
}

func firewallRemedy(err error) string {
	if errors.Is(err, exec.ErrNotFound) {
		return "install the package nftables (apt install nftables; dnf, apk, pacman and zypper have it under the same name)"
	}
	return "give meshd CAP_NET_ADMIN, on a kernel that has nftables with NAT, connection tracking and fib " +
		"(modprobe -a nf_tables nft_ct nft_nat nft_fib_inet), and with nft 1.0.1 or newer"
}

func tunnelsRemedy(error) string {
	return "load a module of WireGuard or TUN on the host (modprobe wireguard, modprobe tun), and give a container CAP_NET_ADMIN and /dev/net/tun"
}

func routingRemedy(error) string {
	return "make /proc/sys/net writable for meshd, or set these settings on the host with sysctl -w; " +
		"the kernel needs nexthop groups (Linux 5.4 or newer)"
}

// Unmet returns the problem of each requirement that the host of a subject lacks.
func Unmet(ctx context.Context, subject string, requirements []Requirement) []plan.Problem {
	var problems []plan.Problem
	for _, r := range requirements {
		if err := r.check(ctx); err != nil {
			problems = append(problems, plan.Problem{
				Code:     r.code,
				Severity: plan.Error,
				Subject:  subject,
				Message:  fmt.Sprintf("%s %s: %s", subject, r.without, firstLine(err)),
				Remedy:   r.remedy(err),
			})
		}
	}
	return problems
}

// firstLine returns the message of an error without the listing that nft adds.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// retryInterval is the time between checks while a requirement is not met.
const retryInterval = 2 * time.Second

// Watch keeps the problems of requirements up to date until all are met: from then
// on, the passes of the data plane report what fails.
type Watch struct {
	subject      string
	requirements []Requirement
	log          *slog.Logger
	problems     atomic.Pointer[[]plan.Problem]
}

// NewWatch returns a watch without problems; Run checks.
func NewWatch(subject string, requirements []Requirement, log *slog.Logger) *Watch {
	return &Watch{subject: subject, requirements: requirements, log: log}
}

// Run checks at once, and again until all requirements are met or ctx ends. Nothing
// waits for the first check: after a restart, sessions with other gateways come first.
func (w *Watch) Run(ctx context.Context) {
	notify.LoopUntil(ctx, retryInterval, w.met)
}

// Problems returns the problems of the last check.
func (w *Watch) Problems() []plan.Problem {
	if p := w.problems.Load(); p != nil {
		return *p
	}
	return nil
}

// met checks all requirements, and logs what has changed.
func (w *Watch) met(ctx context.Context) bool {
	found := Unmet(ctx, w.subject, w.requirements)
	if ctx.Err() != nil {
		return false // the checks were interrupted
	}
	before := w.Problems()
	w.problems.Store(&found)
	problemlog.WriteChanges(w.log, slog.LevelError, before, found)
	return len(found) == 0
}
