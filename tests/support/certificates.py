"""A certificate for 127.0.0.1, and the authority that vouches for it."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def server_context(folder: Path) -> ssl.SSLContext:
    """Write authority.pem, and return a server's context with a certificate that it vouches for."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def certify(name: x509.Name, public_key, *extensions) -> bytes:
        now, serial = datetime.now(UTC), x509.random_serial_number()
        builder = x509.CertificateBuilder(authority, name, public_key, serial)
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(encoding)

    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    own = certify(
        authority,
        authority_key.public_key(),
        x509.BasicConstraints(ca=True, path_length=None),
        identifier,
        x509.KeyUsage(False, False, False, False, False, True, True, False, False),
    )
    certificate = certify(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")]),
        key.public_key(),
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
    )
    (folder / "authority.pem").write_bytes(own)
    private = key.private_bytes(encoding, form, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
