// Package nft is the routes.Filter of Linux: it renders a routes.Firewall as
// one nftables transaction, which replaces our table as a whole, and runs it
// through the nft binary. It touches no other table.
package nft
