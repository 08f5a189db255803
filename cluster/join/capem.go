package join

import (
	"encoding/pem"
	"strings"
)

// commonName is what the name of a root that Edgehold makes begins with; the id of the cluster follows.
const commonName = "edgehold "

// Cluster is the id of the cluster that the CA was made for; "" if Edgehold has not made it.
func (ca *CA) Cluster() string {
	id, ok := strings.CutPrefix(ca.Certificate.Subject.CommonName, commonName)
	if !ok || !clusterName.MatchString(id) {
		return ""
	}
	return id
}

// PEM returns the certificate and the key in PEM. The key is a secret.
func (ca *CA) PEM() (certificate, key []byte, err error) {
	der, err := ca.Key()
	if err != nil {
		return nil, nil, err
	}
	return EncodeCertificates(ca.Certificate), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
