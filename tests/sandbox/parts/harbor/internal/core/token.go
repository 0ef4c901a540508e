// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	service       = "harbor-registry"
	issuer        = "harbor-token-issuer"
	tokenLifetime = 30 * time.Minute
	keyBits       = 2048
)

// access is one entry of a token's claim of the same name, as the distribution defines it.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

type claims struct {
	jwt.Claims
	Access []access `json:"access"`
}

// tokens signs and verifies. The key's id is its RFC 7638 thumbprint, by which a distribution with token access
// control finds the certificate of the key among those it trusts.
type tokens struct {
	key    *rsa.PrivateKey
	signer jose.Signer
}

func newTokens(path string) (*tokens, error) {
	key, err := privateKey(path)
	if err != nil {
		return nil, err
	}
	thumbprint, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("thumbprint of the token key: %w", err)
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", base64.RawURLEncoding.EncodeToString(thumbprint))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return &tokens{key: key, signer: signer}, nil
}

func privateKey(path string) (*rsa.PrivateKey, error) {
	if path == "" {
		return rsa.GenerateKey(rand.Reader, keyBits)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("token key %s: not PEM", path)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("token key %s: %w", path, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("token key %s: not an RSA key", path)
	}
	return key, nil
}

func (t *tokens) sign(who string, granted []access, now time.Time) (string, error) {
	return jwt.Signed(t.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer:    issuer,
			Subject:   who,
			Audience:  jwt.Audience{service},
			Expiry:    jwt.NewNumericDate(now.Add(tokenLifetime)),
			NotBefore: jwt.NewNumericDate(now),
			IssuedAt:  jwt.NewNumericDate(now),
			ID:        rand.Text(),
		},
		Access: granted,
	}).Serialize()
}

func (t *tokens) verify(raw string) (identity, error) {
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return identity{}, err
	}
	var found claims
	if err := parsed.Claims(t.key.Public(), &found); err != nil {
		return identity{}, err
	}
	if err := found.Validate(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{service}, Time: time.Now()}); err != nil {
		return identity{}, err
	}
	if found.Access == nil {
		found.Access = []access{}
	}
	return identity{name: found.Subject, access: found.Access}, nil
}

type tokenAnswer struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	IssuedAt    string `json:"issued_at"`
}

// serveToken is GET /service/token. It grants every right that the client has in the projects named by the
// scopes, whatever actions they ask for, and refuses only a client without credentials and without scopes.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	query := r.URL.Query()
	if wanted := query.Get("service"); wanted != service {
		http.Error(w, "Unable to handle service: "+wanted, http.StatusBadRequest)
		return
	}
	who := s.identify(r)
	scopes := slices.DeleteFunc(strings.Split(strings.Join(query["scope"], " "), " "), func(scope string) bool { return scope == "" })
	if !who.authenticated() && len(scopes) == 0 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	now := time.Now().UTC()
	signed, err := s.tokens.sign(who.name, s.grant(who, scopes), now)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	sendJSON(w, "application/json; charset=utf-8", tokenAnswer{
		Token: signed, AccessToken: signed,
		ExpiresIn: int(tokenLifetime.Seconds()), IssuedAt: now.Format(time.RFC3339),
	})
}

func (s *Server) grant(who identity, scopes []string) []access {
	granted := []access{}
	for _, scope := range scopes {
		item, err := parseScope(scope)
		if err != nil {
			continue
		}
		item.Actions = s.granted(who, item)
		granted = append(granted, item)
	}
	return granted
}

func (s *Server) granted(who identity, item access) []string {
	owner, _, found := strings.Cut(item.Name, "/")
	switch {
	case item.Type == "registry" && item.Name == "catalog" && who.admin:
		return item.Actions
	case item.Type != "repository" || !found:
		return []string{}
	}
	project, exists := s.config.Projects[owner]
	return slices.DeleteFunc(slices.Clone(actions), func(action string) bool {
		return !exists || !who.can(action, owner, project.Public)
	})
}

var errScope = errors.New("a scope is type:name:actions")

// parseScope reads repository:name:pull,push. The name may have colons of its own.
func parseScope(scope string) (access, error) {
	kind, rest, found := strings.Cut(scope, ":")
	last := strings.LastIndex(rest, ":")
	if !found || last < 0 {
		return access{}, errScope
	}
	return access{Type: kind, Name: rest[:last], Actions: strings.Split(rest[last+1:], ",")}, nil
}
