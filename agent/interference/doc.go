// Package interference determines what other programs of the host do to the packets
// of Meshway after its routes and firewall were applied: their routes and rules may
// divert packets, and their firewall may drop them. It reports each as a
// problem with the command that corrects it. It is pure.
package interference
