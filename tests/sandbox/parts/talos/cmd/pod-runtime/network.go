// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// gateway is what pods have as their next hop; the node's end of the pair answers for it, as with Calico.
var gateway = net.IPv4(169, 254, 1, 1)

// addressPool gives the addresses of a range in turn, so that one that was given back rests for a while.
type addressPool struct {
	mu     sync.Mutex
	within netip.Prefix
	last   netip.Addr
	taken  map[netip.Addr]bool
}

func newAddressPool(cidr string) (*addressPool, error) {
	within, err := netip.ParsePrefix(cidr)
	if err != nil || !within.Addr().Is4() || within.Bits() > 30 {
		return nil, fmt.Errorf("--pod-cidr %q is no IPv4 range with room for pods", cidr)
	}

	return &addressPool{within: within.Masked(), last: within.Masked().Addr(), taken: map[netip.Addr]bool{}}, nil
}

func (p *addressPool) take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	size := 1 << (32 - p.within.Bits())
	for range size {
		p.last = p.last.Next()
		if !p.within.Contains(p.last) {
			p.last = p.within.Addr().Next()
		}

		edge := p.last == p.within.Addr() || !p.within.Contains(p.last.Next())
		if !edge && !p.taken[p.last] {
			p.taken[p.last] = true

			return p.last, nil
		}
	}

	return netip.Addr{}, fmt.Errorf("no address left in %s", p.within)
}

func (p *addressPool) give(address netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.taken, address)
}

// connectPod gives the network namespace the interface eth0 with address, and the node a route to it over link.
func connectPod(namespace *os.File, link string, address, nodeIP netip.Addr) error {
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: link, MTU: 1500}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(namespace.Fd())),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make the pair %s: %w", link, err)
	}

	// A handle is bound to the namespace of the thread that makes it.
	peer, err := onOwnThread(func() (netlink.Link, error) {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, err
		}

		inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return nil, err
		}
		defer inside.Close()

		return setUpPodEnd(inside, address)
	})
	if err != nil {
		return fmt.Errorf("pod's end of %s: %w", link, err)
	}

	if err := setUpNodeEnd(link, address, nodeIP, peer.Attrs().HardwareAddr); err != nil {
		return fmt.Errorf("node's end of %s: %w", link, err)
	}

	outer, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}

	_, err = onOwnThread(func() (any, error) {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, err
		}

		return nil, netlink.NeighSet(neighbour(peer.Attrs().Index, gateway, outer.Attrs().HardwareAddr))
	})

	return err
}

func setUpPodEnd(inside *netlink.Handle, address netip.Addr) (netlink.Link, error) {
	loopback, err := inside.LinkByName("lo")
	if err != nil {
		return nil, err
	}

	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return nil, err
	}

	index := eth0.Attrs().Index
	next := &net.IPNet{IP: gateway, Mask: net.CIDRMask(32, 32)}
	everywhere := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}

	return eth0, errors.Join(
		inside.LinkSetUp(loopback),
		inside.AddrAdd(eth0, &netlink.Addr{IPNet: single(address)}),
		inside.LinkSetUp(eth0),
		inside.RouteAdd(&netlink.Route{LinkIndex: index, Dst: next, Scope: netlink.SCOPE_LINK}),
		inside.RouteAdd(&netlink.Route{LinkIndex: index, Dst: everywhere, Gw: gateway}),
	)
}

func setUpNodeEnd(link string, address, nodeIP netip.Addr, peer net.HardwareAddr) error {
	outer, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}

	settings := filepath.Join("/proc/sys/net/ipv4/conf", link)
	index := outer.Attrs().Index

	return errors.Join(
		os.WriteFile(filepath.Join(settings, "proxy_arp"), []byte("1"), 0o644),
		os.WriteFile(filepath.Join(settings, "rp_filter"), []byte("0"), 0o644),
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644),
		netlink.LinkSetUp(outer),
		netlink.RouteReplace(&netlink.Route{LinkIndex: index, Dst: single(address), Scope: netlink.SCOPE_LINK, Src: nodeIP.AsSlice()}),
		netlink.NeighSet(neighbour(index, address.AsSlice(), peer)),
	)
}

func single(address netip.Addr) *net.IPNet {
	return &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

// neighbour is permanent: no first packet waits for ARP.
func neighbour(index int, ip net.IP, hardware net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: ip, HardwareAddr: hardware}
}

func removeLink(name string) error {
	link, err := netlink.LinkByName(name)

	var gone netlink.LinkNotFoundError
	if errors.As(err, &gone) {
		return nil
	}

	if err != nil {
		return err
	}

	return netlink.LinkDel(link)
}

// dialInside connects to a port of the pod's own loopback, as kubectl port-forward expects.
func dialInside(namespace *os.File, port int32) (net.Conn, error) {
	return onOwnThread(func() (net.Conn, error) {
		if namespace != nil {
			if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
				return nil, err
			}
		}

		return net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))) //nolint:noctx // loopback answers at once
	})
}

// openHostPorts forwards TCP ports of the node to the pod. The pod sees the node's address as the client's.
func openHostPorts(mappings []*cri.PortMapping, nodeIP, pod netip.Addr) ([]io.Closer, error) {
	var opened []io.Closer

	for _, mapping := range mappings {
		if mapping.GetHostPort() == 0 || mapping.GetProtocol() != cri.Protocol_TCP {
			continue
		}

		at := net.JoinHostPort(firstOf(mapping.GetHostIp(), nodeIP.String()), strconv.Itoa(int(mapping.GetHostPort())))

		listener, err := net.Listen("tcp4", at)
		if err != nil {
			return opened, fmt.Errorf("host port: %w", err)
		}

		opened = append(opened, listener)

		go forwardAll(listener, net.JoinHostPort(pod.String(), strconv.Itoa(int(mapping.GetContainerPort()))))
	}

	return opened, nil
}

func forwardAll(listener net.Listener, target string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}

		go func() {
			defer client.Close() //nolint:errcheck

			server, err := net.Dial("tcp4", target)
			if err != nil {
				return
			}

			exchange(client, server)
		}()
	}
}
