// Package images builds container images from programs of this machine as
// archives in the format of `docker save`, without a registry or a builder.
package images
