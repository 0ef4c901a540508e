// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"crypto/tls"
	stdx509 "crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

const certificateLife = 365 * 24 * time.Hour

// identity is what a node shows and asks for in mutual TLS.
type identity struct {
	accepted *stdx509.CertPool
	own      tls.Certificate
	client   *tls.Certificate // for asking other nodes; workers have none
}

func (b *boot) identity(cfg config.Provider) (*identity, error) {
	id := &identity{accepted: stdx509.NewCertPool()}

	issuing := cfg.Machine().Security().IssuingCA()
	if issuing == nil || len(issuing.Key) == 0 {
		var err error
		if issuing, err = x509.NewCertificateAndKeyFromFiles(
			filepath.Join(b.OSCA, "os-ca.crt"), filepath.Join(b.OSCA, "os-ca.key"),
		); err != nil {
			return nil, fmt.Errorf("no CA key in the configuration (a worker), so it is needed from the directory of --os-ca: %w", err)
		}
	}

	id.accepted.AppendCertsFromPEM(issuing.Crt)

	for _, ca := range cfg.Machine().Security().AcceptedCAs() {
		id.accepted.AppendCertsFromPEM(ca.Crt)
	}

	ca, err := x509.NewCertificateAuthorityFromCertificateAndKey(issuing)
	if err != nil {
		return nil, err
	}

	name := b.hostname(cfg)

	if id.own, err = signed(ca, x509.CommonName(name), x509.DNSNames([]string{name}), x509.IPAddresses([]net.IP{net.ParseIP(b.Address)}),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth})); err != nil {
		return nil, err
	}

	if cfg.Machine().Type().IsControlPlane() {
		client, err := signed(ca, x509.CommonName(name), x509.Organization(string(role.Impersonator)),
			x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}))
		if err != nil {
			return nil, err
		}

		id.client = &client
	}

	return id, nil
}

func signed(ca *x509.CertificateAuthority, options ...x509.Option) (tls.Certificate, error) {
	pair, err := x509.NewKeyPair(ca, append(options,
		x509.NotAfter(time.Now().Add(certificateLife)), x509.KeyUsage(stdx509.KeyUsageDigitalSignature))...)
	if err != nil {
		return tls.Certificate{}, err
	}

	both := x509.NewCertificateAndKeyFromKeyPair(pair)

	return tls.X509KeyPair(both.Crt, both.Key)
}

func (id *identity) server() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    id.accepted,
		VerifyPeerCertificate: func(_ [][]byte, chains [][]*stdx509.Certificate) error {
			if len(chains) == 0 {
				return errors.New("no verified chains")
			}

			if leaf := chains[0][0]; !slices.Equal(leaf.ExtKeyUsage, []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}) {
				return fmt.Errorf("certificate %q is missing the client auth extended key usage", leaf.Subject)
			}

			return nil
		},
	}
}

func (id *identity) toPeers() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: id.accepted, Certificates: []tls.Certificate{*id.client}}
}
