// Package images makes container images from programs of this machine, as
// archives in the format of `docker save`: no registry and no builder is needed.
package images
