package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestChainOfANode: what Sign makes is accepted at any date, with the subject that it names.
func TestChainOfANode(t *testing.T) {
	ca := must(NewCA(testCluster))
	roots := []*x509.Certificate{must(NewCA("other")).Certificate, ca.Certificate}
	for _, now := range []time.Time{epoch, {}, epoch.AddDate(-200, 0, 0), epoch.AddDate(200, 0, 0)} {
		id, err := ca.Issue(Template{Subject: server("us-east-1"), Now: now, Names: []string{"a.example.com", "10.0.0.1", "::1"}})
		if err != nil {
			t.Fatal(now, err)
		}
		s, err := VerifyChain(id.chain(), roots, testCluster)
		if err != nil || s.Subject != server("us-east-1") || s.Pin != PinOf(id.Key.Public()) {
			t.Errorf("got %+v, %v", s, err)
		}
		c := id.Leaf
		if c.NotBefore.Before(rootBegin) || c.NotAfter.After(rootEnd) || c.NotAfter.Sub(c.NotBefore) < Life {
			t.Errorf("at %v the certificate is valid from %v to %v", now, c.NotBefore, c.NotAfter)
		}
		for _, host := range []string{"localhost", "127.0.0.1", "::1", "us-east-1." + testCluster + ".edgehold", "a.example.com", "10.0.0.1"} {
			if err := c.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		if len(c.DNSNames)+len(c.IPAddresses) != 6 {
			t.Errorf("the certificate names %v and %v", c.DNSNames, c.IPAddresses)
		}
	}
}

// forged is a certificate by the CA that Sign would not make.
func forged(ca *CA, edit func(*x509.Certificate)) []*x509.Certificate {
	return signed(ca, must(NewKey()), edit)
}

func signed(ca *CA, key *ecdsa.PrivateKey, edit func(*x509.Certificate)) []*x509.Certificate {
	c := &x509.Certificate{
		URIs: []*url.URL{must(url.Parse(server("us-east-1").URI()))}, NotBefore: epoch, NotAfter: epoch.Add(Life),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	edit(c)
	parent := *ca.Certificate
	parent.PublicKey = nil // its key may be another than that of the certificate
	der := must(x509.CreateCertificate(rand.Reader, c, &parent, key.Public(), ca.key))
	return []*x509.Certificate{must(x509.ParseCertificate(der)), ca.Certificate}
}

// withURIs gives the certificate URIs as they are spelled.
func withURIs(uris ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		var names []asn1.RawValue
		for _, u := range uris {
			names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u)})
		}
		c.URIs, c.ExtraExtensions = nil, []pkix.Extension{{Id: oidAltNames, Value: must(asn1.Marshal(names))}}
	}
}

// TestForgedChains is Attack 3: certificates that are self-signed, of another cluster, of two names, of another spelling of a name,
// or of a CA are refused, each with its reason.
func TestForgedChains(t *testing.T) {
	ca, other := must(NewCA(testCluster)), must(NewCA("fedcba9876543210"))
	own := server("us-east-1").URI()
	self := must(NewKey())
	selfSigned := &CA{Certificate: ca.Certificate, key: self}
	for what, x := range map[string]struct {
		chain []*x509.Certificate
		why   Why
	}{
		"nothing wrong":       {forged(ca, func(*x509.Certificate) {}), ""},
		"none":                {nil, WhyNone},
		"self-signed":         {signed(selfSigned, self, func(c *x509.Certificate) {}), WhyChain},
		"a CA's":              {[]*x509.Certificate{ca.Certificate}, WhyChain},
		"signed by another":   {forged(other, func(*x509.Certificate) {}), WhyChain},
		"another cluster's":   {forged(ca, withURIs(strings.Replace(own, testCluster, "fedcba9876543210", 1))), WhyCluster},
		"two names":           {forged(ca, withURIs(own, server("us-east-2").URI())), WhyName},
		"one name twice":      {forged(ca, withURIs(own, own)), WhyName},
		"no name":             {forged(ca, withURIs()), WhyName},
		"escaped":             {forged(ca, withURIs(strings.Replace(own, "us-east-1", "us%2deast-1", 1))), WhyName},
		"escaped dot":         {forged(ca, withURIs(strings.Replace(own, "us-east-1", "%2e%2e", 1))), WhyName},
		"dots":                {forged(ca, withURIs(strings.Replace(own, "us-east-1", "..", 1))), WhyName},
		"upper case, scheme":  {forged(ca, withURIs(strings.Replace(own, "spiffe", "SPIFFE", 1))), WhyName},
		"upper case, cluster": {forged(ca, withURIs(strings.Replace(own, testCluster, strings.ToUpper(testCluster), 1))), WhyName},
		"upper case, role":    {forged(ca, withURIs(strings.Replace(own, "/server/", "/SERVER/", 1))), WhyName},
		"a port":              {forged(ca, withURIs(strings.Replace(own, testCluster, testCluster+":1", 1))), WhyName},
		"a longer path":       {forged(ca, withURIs(own+"/x")), WhyName},
		"a query":             {forged(ca, withURIs(own+"?x")), WhyName},
		"CA:TRUE":             {forged(ca, func(c *x509.Certificate) { c.IsCA = true }), WhyChain},
		"for servers alone":   {forged(ca, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), WhyChain},
		"not for signing":     {forged(ca, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), WhyChain},
		"too many CAs":        {append(forged(ca, func(*x509.Certificate) {}), ca.Certificate, ca.Certificate, ca.Certificate), WhyChain},
		"P-384":               {signed384(ca), WhyChain},
	} {
		s, err := VerifyChain(x.chain, []*x509.Certificate{ca.Certificate}, testCluster)
		expectWhy(t, what, err, x.why)
		if (s == nil) != (x.why != "") {
			t.Errorf("%s: got %+v", what, s)
		}
	}
}

func signed384(ca *CA) []*x509.Certificate {
	return signed(ca, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), func(*x509.Certificate) {})
}

// TestStolenCAKey is Attack 4: a thief of the CA's key, or of the key of the CA above it, has neither the key of a node nor a voucher.
func TestStolenCAKey(t *testing.T) {
	parent := must(NewCA("corporate"))
	key := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: pkix.Name{CommonName: "below"}, NotBefore: rootBegin, NotAfter: rootEnd, IsCA: true, BasicConstraintsValid: true,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "corporate"}}, key.Public(), parent.key))
	ca := must(open(der, key))
	first, second, gone := ca.issue(t, server("us-east-1")), ca.issue(t, server("us-east-2")), ca.issue(t, server("us-east-3"))
	atEdge := ca.issue(t, edge("edge-1"))
	b := bookOf(first, second, atEdge)
	b.removed["us-east-3"] = true
	five := ca.issue(t, server("us-east-1"))
	for range 5 {
		five = ca.renewed(t, five)
	}
	five.Vouchers = append(five.Vouchers, vouched(t, five, second.Key).Vouchers...)
	fresh := ca.issue(t, server("us-east-9"))
	stolen := vouched(t, fresh, second.Key) // a voucher for another key of that name
	stolen.Key, stolen.Leaf = gone.Key, ca.issue(t, server("us-east-9")).Leaf
	for what, x := range map[string]struct {
		id  *Identity
		why Why
	}{
		"the node":                        {first, ""},
		"a living node's name":            {ca.issue(t, server("us-east-1")), WhyKey},
		"a living edge's name":            {ca.issue(t, edge("edge-1")), WhyKey},
		"a new name":                      {ca.issue(t, server("us-east-9")), WhyUnknown},
		"another role":                    {ca.issue(t, edge("us-east-1")), WhyKey},
		"a living node, by another":       {vouched(t, ca.issue(t, server("us-east-1")), second.Key), WhyKey},
		"a new server, by a server":       {vouched(t, fresh, second.Key), ""},
		"a new server, by an edge":        {vouched(t, fresh, atEdge.Key), WhyUnknown},
		"a new server, by a removed one":  {vouched(t, fresh, gone.Key), WhyUnknown},
		"a new edge, by a server":         {vouched(t, ca.issue(t, edge("edge-9")), second.Key), WhyUnknown},
		"a removed server, by a server":   {vouched(t, gone, second.Key), WhyRemoved},
		"a voucher for another key":       {stolen, WhyUnknown},
		"a node's key under another name": {sameKey(ca, first, server("us-east-9")), WhyUnknown},
	} {
		s, err := VerifyChain(x.id.chain(), []*x509.Certificate{ca.Certificate}, testCluster)
		if err == nil {
			err = Accept(s, b.known())
		}
		expectWhy(t, what, err, x.why)
	}
	_, err := VerifyChain(five.chain(), []*x509.Certificate{ca.Certificate}, testCluster)
	expectWhy(t, "five vouchers", err, WhyChain)
	_, err = VerifyChain(append(forged(parent, func(*x509.Certificate) {}), ca.Certificate), []*x509.Certificate{ca.Certificate}, testCluster)
	expectWhy(t, "signed by the CA above", err, WhyChain)
}

func sameKey(ca *CA, x *Identity, s Subject) *Identity {
	leaf := must(ca.Sign(Template{Subject: s, Key: &x.Key.PublicKey, Now: epoch}))
	return must(NewIdentity(x.Key, leaf, nil, [][]byte{ca.Certificate.Raw}))
}

// TestVouchers: a node is accepted by those that have not heard of up to four changes of its key, and a new server after one.
func TestVouchers(t *testing.T) {
	ca := must(NewCA(testCluster))
	first, leader := ca.issue(t, server("us-east-1")), ca.issue(t, server("us-east-2"))
	b := bookOf(first, leader)
	judge := func(x *Identity) error {
		s, err := VerifyChain(x.chain(), []*x509.Certificate{ca.Certificate}, testCluster)
		if err != nil {
			return err
		}
		return Accept(s, b.known())
	}
	at := first
	for i := range 6 {
		at = ca.renewed(t, at)
		want := Why("")
		if i >= MaxVouchers {
			want = WhyKey
		}
		expectWhy(t, "renewed", judge(at), want)
	}
	fresh := ca.renewed(t, vouched(t, ca.issue(t, server("us-east-9")), leader.Key))
	expectWhy(t, "a new server, renewed", judge(fresh), "")
	b.nodes["us-east-1"] = ca.issue(t, server("us-east-1")) // its key was stolen, and the cluster gave it another
	expectWhy(t, "vouched for by a key that is void", judge(ca.renewed(t, first)), WhyKey)
}

// TestVoucherOfAnother: a voucher names the node that it is for, and is signed.
func TestVoucherOfAnother(t *testing.T) {
	ca := must(NewCA(testCluster))
	x, leader := ca.issue(t, server("us-east-9")), ca.issue(t, server("us-east-2"))
	for what, c := range map[string]struct {
		der []byte
		why Why
	}{
		"for another node": {must(Vouch(leader.Key, server("us-east-8"), &x.Key.PublicKey)), WhyName},
		"no voucher":       {leader.Leaf.Raw, WhyChain},
	} {
		_, err := NewIdentity(x.Key, x.Leaf.Raw, [][]byte{c.der}, [][]byte{ca.Certificate.Raw})
		expectWhy(t, what, err, c.why)
	}
	y := vouched(t, x, leader.Key)
	y.Vouchers[0].Signature[10] ^= 1
	_, err := VerifyChain(append([]*x509.Certificate{x.Leaf}, y.Vouchers...), []*x509.Certificate{ca.Certificate}, testCluster)
	expectWhy(t, "a voucher that is not signed", err, WhyChain)
}

// TestRequests is Attack 21: what a request for a certificate may hold, and that a refusal is quick.
func TestRequests(t *testing.T) {
	key := must(NewKey())
	good := must(NewRequest(key))
	if got, err := CheckRequest(good); err != nil || !got.Equal(key.Public()) {
		t.Fatalf("got %v, %v", got, err)
	}
	forgedSignature := append([]byte(nil), good...)
	forgedSignature[len(forgedSignature)-1] ^= 1
	var many []string
	for range 10_000 {
		many = append(many, "host.example.com")
	}
	request := func(r *x509.CertificateRequest, key any) []byte {
		return must(x509.CreateCertificateRequest(rand.Reader, r, key))
	}
	for what, x := range map[string]struct {
		der  []byte
		code api.Code
	}{
		"bad signature": {forgedSignature, api.CodeInvalid},
		"P-384":         {request(&x509.CertificateRequest{}, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))), api.CodeInvalid},
		"CA:TRUE": {request(&x509.CertificateRequest{ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}}, key), api.CodeInvalid},
		"10,000 names": {request(&x509.CertificateRequest{DNSNames: many}, key), api.CodeTooLarge},
		"one name":     {request(&x509.CertificateRequest{DNSNames: many[:1]}, key), api.CodeInvalid},
		"17 KiB":       {make([]byte, 17<<10), api.CodeTooLarge},
		"RSA of 16k":   {rsaRequest(16 << 10), api.CodeTooLarge},
		"RSA of 8k":    {rsaRequest(8 << 10), api.CodeInvalid},
		"nothing":      {nil, api.CodeInvalid},
		"cut":          {good[:len(good)/2], api.CodeInvalid},
	} {
		best := time.Hour
		var err error
		for range 5 { // the quickest: the machine may be busy
			start := time.Now()
			_, err = CheckRequest(x.der)
			best = min(best, time.Since(start))
		}
		if api.CodeOf(err) != x.code {
			t.Errorf("%s: got %v", what, err)
		}
		if best > time.Millisecond {
			t.Errorf("%s: refused after %v", what, best)
		}
	}
}

// rsaRequest is a request for an RSA key of that many bits, whose signature is not made: that would take minutes.
func rsaRequest(bits int) []byte {
	n := make([]byte, bits/8)
	_, _ = rand.Read(n)
	n[0] |= 0x80
	rsa := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: asn1.NullRawValue}
	public := must(asn1.Marshal(struct{ N, E asn1.RawValue }{
		asn1.RawValue{Tag: asn1.TagInteger, Bytes: append([]byte{0}, n...)}, asn1.RawValue{Tag: asn1.TagInteger, Bytes: []byte{1, 0, 1}},
	}))
	tbs := must(asn1.Marshal(struct {
		Version int
		Subject asn1.RawValue
		Key     struct {
			Algorithm pkix.AlgorithmIdentifier
			Public    asn1.BitString
		}
		Attributes asn1.RawValue
	}{0, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true}, struct {
		Algorithm pkix.AlgorithmIdentifier
		Public    asn1.BitString
	}{rsa, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}}, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true}}))
	return must(asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs},
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: n, BitLength: bits}}))
}

// TestSubjects: names that no certificate can hold are refused before anything is signed.
func TestSubjects(t *testing.T) {
	ca, key := must(NewCA(testCluster)), must(NewKey())
	for _, s := range []Subject{
		{}, {Cluster: "a/b", Region: "r", Role: api.RoleEdge, Node: "n"}, {Cluster: "c", Region: "R", Role: api.RoleEdge, Node: "n"},
		{Cluster: "c", Region: "r", Role: "leader", Node: "n"}, {Cluster: "c", Region: "r", Role: api.RoleEdge, Node: "../x"},
		{Cluster: "c", Region: "r", Role: api.RoleEdge, Node: "n\r\n"}, {Cluster: "c", Region: "r", Role: api.RoleEdge, Node: api.NodeID(strings.Repeat("x", 101))},
	} {
		if _, err := ca.Sign(Template{Subject: s, Key: &key.PublicKey, Now: epoch}); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%+v: got %v", s, err)
		}
	}
	for _, name := range []string{"*", "*.example.com", "A.example.com", "a..b", "-a", "a b", "ä.de", "a.", ""} {
		if _, err := ca.Sign(Template{Subject: server("n"), Key: &key.PublicKey, Now: epoch, Names: []string{name}}); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
