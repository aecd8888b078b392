// Package nft implements routes.Filter on Linux: it renders a routes.Firewall as
// one nftables transaction, which replaces Meshway's table as a whole, and runs it
// with the nft binary. It changes no other table.
package nft
