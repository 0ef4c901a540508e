// SPDX-License-Identifier: GPL-3.0-or-later

package pull

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dial connects by the node's own view of names; base (nil: a plain dialer) makes the connection to the address found.
func (n Node) dial(base dialFunc) dialFunc {
	if base == nil {
		base = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}

	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}

		addresses, err := n.Lookup(ctx, host)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}

		var failures error

		for _, one := range addresses {
			conn, err := base(ctx, network, net.JoinHostPort(one, port))
			if err == nil {
				return conn, nil
			}

			failures = errors.Join(failures, err)
		}

		return nil, failures
	}
}

// Lookup gives the addresses of host: itself when it is one, else those of the node's /etc/hosts, else those of its DNS server.
func (n Node) Lookup(ctx context.Context, host string) ([]string, error) {
	if net.ParseIP(host) != nil {
		return []string{host}, nil
	}

	if found := n.hostsFile(host); len(found) > 0 {
		return found, nil
	}

	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		found, err := n.query(ctx, host, kind)
		if err != nil || len(found) > 0 {
			return found, err
		}
	}

	return nil, &net.DNSError{Err: "no such host", Name: host, Server: n.Resolver, IsNotFound: true}
}

func (n Node) hostsFile(host string) (addresses []string) {
	file, err := os.Open(filepath.Join(n.Root, "/etc/hosts"))
	if err != nil {
		return nil
	}
	defer file.Close() //nolint:errcheck

	host = strings.TrimSuffix(host, ".")

	for lines := bufio.NewScanner(file); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)

		for i, name := range fields {
			if i > 0 && strings.EqualFold(name, host) && net.ParseIP(fields[0]) != nil {
				addresses = append(addresses, fields[0])
			}
		}
	}

	return addresses
}

func (n Node) query(ctx context.Context, host string, kind uint16) ([]string, error) {
	if n.Resolver == "" {
		return nil, nil
	}

	question := new(dns.Msg).SetQuestion(dns.Fqdn(host), kind)
	client := &dns.Client{Timeout: 5 * time.Second}

	answer, _, err := client.ExchangeContext(ctx, question, n.Resolver)
	if err == nil && answer.Truncated {
		client.Net = "tcp"
		answer, _, err = client.ExchangeContext(ctx, question, n.Resolver)
	}

	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: host, Server: n.Resolver, IsTemporary: true}
	}

	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, Server: n.Resolver, IsTemporary: true}
	}

	var addresses []string

	for _, record := range answer.Answer {
		switch record := record.(type) {
		case *dns.A:
			addresses = append(addresses, record.A.String())
		case *dns.AAAA:
			addresses = append(addresses, record.AAAA.String())
		}
	}

	return addresses, nil
}
