package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// certificates holds the certificates and keys of a cluster, in PEM.
type certificates struct {
	ca                        []byte
	server, serverKey         []byte // of the API server
	admin                     credentials
	accountKey, accountPublic []byte // for service account tokens
	authority                 *authority
}

// credentials are a client certificate and its key, in PEM.
type credentials struct{ certificate, key []byte }

// authority signs the certificates of one cluster.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

// newCertificates creates the certificates of a cluster that all its nodes share, valid
// for a day.
func newCertificates(addresses []netip.Addr) (certificates, error) {
	ca := &authority{}
	c := certificates{authority: ca}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	var err error
	if c.ca, _, err = ca.sign(template); err != nil {
		return c, err
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, addr := range addresses {
		server.IPAddresses = append(server.IPAddresses, addr.AsSlice())
	}
	if c.server, c.serverKey, err = ca.sign(server); err != nil {
		return c, err
	}
	if c.admin, err = ca.client("admin", "system:masters"); err != nil {
		return c, err
	}
	c.accountPublic, c.accountKey, err = accountKeys()
	return c, err
}

// client creates the credentials of a user in groups.
func (a *authority) client(user string, groups ...string) (credentials, error) {
	certificate, key, err := a.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return credentials{certificate: certificate, key: key}, err
}

// sign creates a key and its certificate. The first certificate is that of the
// authority and signs itself.
func (a *authority) sign(template *x509.Certificate) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	// The times of certificates are whole seconds.
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour)
	if a.key == nil {
		a.certificate, a.key = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", keyDER), nil
}

func accountKeys() (public, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	return encode("PUBLIC KEY", publicDER), encode("EC PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
