// Package table keeps records in tables with ordered indexes, in memory. A
// transaction reads one version of all tables, which later ones do not change.
//
// An index is a copy-on-write B-tree of pointers to the records. It stores no keys: it
// derives them from the records when it compares.
package table
