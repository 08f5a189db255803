package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
)

// Voucher is the statement of one key about another: the key with the pin Signer confirms that the key with the pin Key is that of
// the node which shows the voucher. A node's former key vouches for its next one, and a server for a new server. So a node whose map is old
// accepts what a newer map would let it accept, and a majority whose maps differ in age can still elect a leader. The CA's key does
// not suffice to make one.
type Voucher struct {
	Key, Signer Pin
}

// Vouch returns a voucher in DER: a certificate of the subject for key, signed by signer. In the place of the signer's key id it
// has the signer's key itself, because the map has only pins.
func Vouch(signer *ecdsa.PrivateKey, subject Subject, key *ecdsa.PublicKey) ([]byte, error) {
	if err := subject.Check(); err != nil {
		return nil, err
	}
	uri, err := url.Parse(subject.URI())
	if err != nil {
		return nil, err
	}
	point, err := signer.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "voucher"}, SubjectKeyId: point}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: pkix.Name{CommonName: string(subject.Node)}, URIs: []*url.URL{uri}, NotBefore: rootBegin, NotAfter: rootEnd,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}, issuer, key, signer)
}

// parseVoucher checks a voucher that the subject has shown.
func parseVoucher(c *x509.Certificate, subject Subject) (Voucher, error) {
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return Voucher{}, refused(WhyChain, "a voucher is for a key that is not P-256")
	}
	signer, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), c.AuthorityKeyId)
	if err != nil {
		return Voucher{}, refused(WhyChain, "a certificate was shown that is neither a CA's nor a voucher")
	}
	sum := sha256.Sum256(c.RawTBSCertificate)
	if c.SignatureAlgorithm != x509.ECDSAWithSHA256 || !ecdsa.VerifyASN1(signer, sum[:], c.Signature) {
		return Voucher{}, refused(WhyChain, "a voucher is not signed by the key that it names")
	}
	if of, err := subjectOf(c); err != nil || of != subject {
		return Voucher{}, refused(WhyName, "a voucher is for another node than the one that shows it")
	}
	return Voucher{Key: Fingerprint(c), Signer: PinOf(signer)}, nil
}

// vouchedBy reports whether vouchers lead from the key shown to one that is trusted. The key itself does not count.
func (s *Shown) vouchedBy(trusted func(Pin) bool) bool {
	at, ok := s.signerOf(s.Pin)
	for range s.Vouchers {
		if !ok || trusted(at) {
			return ok
		}
		at, ok = s.signerOf(at)
	}
	return false
}

func (s *Shown) signerOf(key Pin) (Pin, bool) {
	for _, v := range s.Vouchers {
		if v.Key == key {
			return v.Signer, true
		}
	}
	return Pin{}, false
}
