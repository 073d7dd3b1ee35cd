"""GetPublicKey, Sign, Verify and DeriveSharedSecret. What Strongroom signs is verified without it, and the other way round."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from tests.kms.world import HIDDEN, REGION, A, B

RSA = ("RSA_2048", "RSA_3072", "RSA_4096")
RSA_ALGORITHMS = [
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
]
SIGNING = {
    **dict.fromkeys(RSA, RSA_ALGORITHMS),
    "ECC_NIST_P256": ["ECDSA_SHA_256"],
    "ECC_NIST_P384": ["ECDSA_SHA_384"],
    "ECC_NIST_P521": ["ECDSA_SHA_512"],
    "ECC_SECG_P256K1": ["ECDSA_SHA_256"],
    "ECC_NIST_EDWARDS25519": ["ED25519_SHA_512"],
    "ML_DSA_44": ["ML_DSA_SHAKE_256"],
    "ML_DSA_65": ["ML_DSA_SHAKE_256"],
    "ML_DSA_87": ["ML_DSA_SHAKE_256"],
}
CURVES = {"ECC_NIST_P256": ec.SECP256R1(), "ECC_NIST_P384": ec.SECP384R1(), "ECC_NIST_P521": ec.SECP521R1()}
KINDS = {
    "ECC_NIST_EDWARDS25519": ed25519.Ed25519PublicKey,
    "ML_DSA_44": mldsa.MLDSA44PublicKey,
    "ML_DSA_65": mldsa.MLDSA65PublicKey,
    "ML_DSA_87": mldsa.MLDSA87PublicKey,
}
MESSAGE = b"to be signed"
DRY = ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
ZEROS = "00000000-0000-4000-8000-000000000000"


async def public_key(world, key_id: str):
    return load_der_public_key((await world.ask("GetPublicKey", KeyId=key_id))["PublicKey"])


def digest(algorithm: str, message: bytes = MESSAGE) -> bytes:
    return hashlib.new("sha" + algorithm[-3:], message).digest()


def check(public, algorithm: str, signature: bytes, message: bytes = MESSAGE) -> None:
    """Raises InvalidSignature. Written from the standards' parameters, not from the product's."""
    if isinstance(public, rsa.RSAPublicKey):
        hashing = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[-3:]]
        if "PSS" in algorithm:
            public.verify(signature, message, padding.PSS(padding.MGF1(hashing), hashing.digest_size), hashing)
        else:
            public.verify(signature, message, padding.PKCS1v15(), hashing)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[public.curve.key_size]
        public.verify(signature, hashlib.new(size.name, message).digest(), ec.ECDSA(Prehashed(size)))
    else:
        public.verify(signature, message)


@pytest.mark.parametrize("spec", SIGNING)
async def test_a_signing_key(world, spec):
    metadata = (await world.ask("CreateKey", KeySpec=spec, KeyUsage="SIGN_VERIFY"))["KeyMetadata"]
    key_id, arn = metadata["KeyId"], metadata["Arn"]
    assert (metadata["KeySpec"], metadata["CustomerMasterKeySpec"]) == (spec, spec)  # A19
    assert (metadata["KeyUsage"], metadata["SigningAlgorithms"]) == ("SIGN_VERIFY", SIGNING[spec])
    # A21: neither a material id nor what other kinds can do
    assert not {"CurrentKeyMaterialId", "EncryptionAlgorithms", "MacAlgorithms", "KeyAgreementAlgorithms"} & set(metadata)
    answer = await world.ask("GetPublicKey", KeyId=key_id)
    public = load_der_public_key(answer.pop("PublicKey"))
    assert answer == {
        "KeyId": arn,
        "KeySpec": spec,
        "CustomerMasterKeySpec": spec,
        "KeyUsage": "SIGN_VERIFY",
        "SigningAlgorithms": SIGNING[spec],
    }
    if isinstance(public, rsa.RSAPublicKey):
        assert (public.key_size, public.public_numbers().e) == (int(spec[4:]), 65537)
    else:
        assert isinstance(public, KINDS.get(spec, ec.EllipticCurvePublicKey))
    for algorithm in SIGNING[spec]:
        given = {"KeyId": key_id, "Message": MESSAGE, "SigningAlgorithm": algorithm}
        signed = await world.ask("Sign", **given)
        signature = signed.pop("Signature")
        assert signed == {"KeyId": arn, "SigningAlgorithm": algorithm}
        check(public, algorithm, signature)
        with pytest.raises(InvalidSignature):
            check(public, algorithm, signature, MESSAGE + b"!")
        verified = await world.ask("Verify", Signature=signature, **given)
        assert verified == {"KeyId": arn, "SignatureValid": True, "SigningAlgorithm": algorithm}
        for wrong in (
            {**given, "Signature": signature, "Message": MESSAGE + b"!"},
            {**given, "Signature": signature[:-1] + bytes([signature[-1] ^ 1])},
            {**given, "Signature": b"x"},
        ):
            assert await world.refusal("Verify", **wrong) == ("KMSInvalidSignatureException", "")  # A7


@pytest.mark.parametrize("spec", [spec for spec in SIGNING if spec.startswith(("RSA_2", "ECC_NIST_P", "ECC_SECG"))])
async def test_digests(world, spec):
    key_id, _ = await world.key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    public = await public_key(world, key_id)
    for algorithm in SIGNING[spec]:
        given = {"KeyId": key_id, "SigningAlgorithm": algorithm}
        hashed = {"Message": digest(algorithm), "MessageType": "DIGEST"}
        signature = (await world.ask("Sign", **given, **hashed))["Signature"]
        check(public, algorithm, signature)
        await world.ask("Verify", **given, **hashed, Signature=signature)
        await world.ask("Verify", **given, Message=MESSAGE, MessageType="RAW", Signature=signature)
        for size in (1, len(digest(algorithm)) - 1, len(digest(algorithm)) + 1):
            for operation, more in (("Sign", {}), ("Verify", {"Signature": signature})):
                refused = await world.refusal(operation, **given, Message=bytes(size), MessageType="DIGEST", **more)
                assert refused == ("ValidationException", f"Digest is invalid length for algorithm {algorithm}.")  # A.15
        # a digest that is hashed again is another message
        given["Message"] = digest(algorithm)
        assert (await world.refusal("Verify", **given, Signature=signature))[0] == "KMSInvalidSignatureException"


@pytest.mark.parametrize("spec", ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"])
async def test_ml_dsa_takes_mu_from_outside(world, spec):
    """mu by FIPS 204, algorithm 7: SHAKE256(SHAKE256(public key, 64) || 0 || 0 || message, 64), the context being empty."""
    key_id, _ = await world.key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    public = await public_key(world, key_id)
    outer = hashlib.shake_256(public.public_bytes_raw()).digest(64)
    mu = hashlib.shake_256(outer + b"\0\0" + MESSAGE).digest(64)
    given = {"KeyId": key_id, "SigningAlgorithm": "ML_DSA_SHAKE_256"}
    signature = (await world.ask("Sign", **given, Message=mu, MessageType="EXTERNAL_MU"))["Signature"]
    public.verify(signature, MESSAGE)
    await world.ask("Verify", **given, Message=mu, MessageType="EXTERNAL_MU", Signature=signature)
    refused = await world.refusal("Sign", **given, Message=mu[:-1], MessageType="EXTERNAL_MU")
    assert refused == ("ValidationException", "Digest is invalid length for algorithm ML_DSA_SHAKE_256.")
    refused = await world.refusal("Sign", **given, Message=mu, MessageType="DIGEST")
    assert refused == ("ValidationException", "MessageType DIGEST is not valid for algorithm ML_DSA_SHAKE_256.")


@pytest.mark.parametrize(
    ("spec", "algorithm", "message_type"),
    [
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "DIGEST"),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "EXTERNAL_MU"),
        ("ECC_NIST_P256", "ECDSA_SHA_256", "EXTERNAL_MU"),
        ("RSA_2048", "RSASSA_PSS_SHA_256", "EXTERNAL_MU"),
    ],
)
async def test_kinds_of_messages_an_algorithm_does_not_take(world, spec, algorithm, message_type):
    key_id, _ = await world.key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    given = {"KeyId": key_id, "Message": bytes(64), "SigningAlgorithm": algorithm, "MessageType": message_type}
    refused = ("ValidationException", f"MessageType {message_type} is not valid for algorithm {algorithm}.")
    assert await world.refusal("Sign", **given) == refused
    assert await world.refusal("Verify", **given, Signature=b"x") == refused


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ML_DSA_44"])
async def test_algorithms_of_other_keys(world, spec):
    key_id, _ = await world.key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    others = {algorithm for values in SIGNING.values() for algorithm in values} - set(SIGNING[spec])
    for algorithm in sorted(others | {"SM2DSA", "ED25519_PH_SHA_512"}):
        refused = ("InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {spec}.")
        given = {"KeyId": key_id, "Message": MESSAGE, "SigningAlgorithm": algorithm}
        assert await world.refusal("Sign", **given) == refused
        assert await world.refusal("Verify", **given, Signature=b"x") == refused


SIGN = {"Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
CALLS = {
    "Sign": SIGN,
    "Verify": {**SIGN, "Signature": b"x"},
    "DeriveSharedSecret": {"KeyAgreementAlgorithm": "ECDH", "PublicKey": b"x"},
    "GenerateMac": {"Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_256"},
    "VerifyMac": {"Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_256", "Mac": b"x"},
    "Encrypt": {"Plaintext": b"x"},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"},
    "GenerateDataKeyPairWithoutPlaintext": {"KeyPairSpec": "ECC_NIST_P256"},
}
USES = {
    "SIGN_VERIFY": {"Sign", "Verify"},
    "KEY_AGREEMENT": {"DeriveSharedSecret"},
    "GENERATE_VERIFY_MAC": {"GenerateMac", "VerifyMac"},
    "ENCRYPT_DECRYPT": {name for name in CALLS if name.startswith(("Encrypt", "GenerateData"))},
}


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("ECC_NIST_P256", "KEY_AGREEMENT"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ],
)
async def test_a35_wrong_usages(world, spec, usage):
    key_id, arn = await world.key(KeySpec=spec, KeyUsage=usage)
    for operation, given in CALLS.items():
        if operation not in USES[usage]:
            refused = ("InvalidKeyUsageException", f"{arn} key usage is {usage} which is not valid for {operation}.")
            assert await world.refusal(operation, KeyId=key_id, **given) == refused


@pytest.mark.parametrize("operation", [name for name in CALLS if name.startswith("GenerateData")])
async def test_a36_no_data_keys_under_rsa(world, operation):
    key_id, _ = await world.key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    refused = ("InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK")
    assert await world.refusal(operation, KeyId=key_id, **CALLS[operation]) == refused


@pytest.mark.parametrize("spec", ["SYMMETRIC_DEFAULT", "HMAC_256"])
async def test_no_public_key_of_a_secret_one(world, spec):
    usage = "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else "GENERATE_VERIFY_MAC"
    key_id, arn = await world.key(KeySpec=spec, KeyUsage=usage)
    code, message = await world.refusal("GetPublicKey", KeyId=key_id)
    assert (code, message) == ("UnsupportedOperationException", f"{arn} key spec is {spec} which is not valid for GetPublicKey.")


@pytest.mark.parametrize("spec", CURVES)
async def test_shared_secrets(world, spec):
    metadata = (await world.ask("CreateKey", KeySpec=spec, KeyUsage="KEY_AGREEMENT"))["KeyMetadata"]
    assert metadata["KeyAgreementAlgorithms"] == ["ECDH"]
    ours = await public_key(world, metadata["KeyId"])
    theirs = ec.generate_private_key(CURVES[spec])
    given = {"KeyId": metadata["KeyId"], "KeyAgreementAlgorithm": "ECDH", "PublicKey": der(theirs.public_key())}
    assert await world.ask("DeriveSharedSecret", **given) == {
        "KeyId": metadata["Arn"],
        "SharedSecret": theirs.exchange(ec.ECDH(), ours),
        "KeyAgreementAlgorithm": "ECDH",
        "KeyOrigin": "AWS_KMS",
    }
    assert await world.refusal("DeriveSharedSecret", **given, DryRun=True) == DRY
    assert (await world.ask("GetPublicKey", KeyId=metadata["KeyId"]))["KeyAgreementAlgorithms"] == ["ECDH"]


def der(public) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


async def test_shared_secrets_only_on_ones_own_curve(world):
    key_id, _ = await world.key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")
    ours = (await world.ask("GetPublicKey", KeyId=key_id))["PublicKey"]
    off_curve = ours[:-1] + bytes([ours[-1] ^ 1])
    for peer in (
        der(ec.generate_private_key(ec.SECP384R1()).public_key()),
        der(ec.generate_private_key(ec.SECP256K1()).public_key()),
        der(ed25519.Ed25519PrivateKey.generate().public_key()),
        off_curve,
        ours[:-1],
        b"x",
    ):
        code, message = await world.refusal("DeriveSharedSecret", KeyId=key_id, KeyAgreementAlgorithm="ECDH", PublicKey=peer)
        assert code == "ValidationException"
        assert message == "The public key is not a valid key on the elliptic curve of the KMS key."


async def test_states_rights_and_names(world):
    key_id, arn = await world.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    await world.ask("CreateAlias", AliasName="alias/signer", TargetKeyId=key_id)
    world.asked.clear()
    signature = (await world.ask("Sign", KeyId="alias/signer", **SIGN))["Signature"]
    await world.ask("Verify", KeyId=f"arn:aws:kms:{REGION}:{A}:alias/signer", **SIGN, Signature=signature)
    await world.ask("GetPublicKey", KeyId="alias/signer")
    assert world.asked == [("kms:Sign", arn), ("kms:Verify", arn), ("kms:GetPublicKey", arn)]  # B10
    assert await world.refusal("Sign", KeyId=key_id, **SIGN, DryRun=True) == DRY
    assert await world.refusal("Verify", KeyId=key_id, **SIGN, Signature=b"wrong", DryRun=True) == DRY
    calls = {"Sign": SIGN, "Verify": {**SIGN, "Signature": signature}, "GetPublicKey": {}}
    for operation, given in calls.items():
        refused = ("AccessDenied", HIDDEN.format(B, f"kms:{operation}"))
        for name in (arn, arn[:-36] + ZEROS):
            assert await world.refusal(operation, KeyId=name, account=B, **given) == refused
    world.shared.add(B)
    for operation, given in calls.items():
        await world.ask(operation, KeyId=arn, account=B, **given)  # B6
    await world.ask("DisableKey", KeyId=key_id)
    for operation, given in calls.items():
        assert await world.refusal(operation, KeyId=key_id, **given) == ("DisabledException", f"{arn} is disabled.")
    await world.ask("ScheduleKeyDeletion", KeyId=key_id)
    for operation, given in calls.items():
        refused = ("KMSInvalidStateException", f"{arn} is pending deletion.")
        assert await world.refusal(operation, KeyId=key_id, **given) == refused


@pytest.mark.parametrize(
    ("spec", "usage"), [("RSA_2048", "ENCRYPT_DECRYPT"), ("ML_DSA_44", "SIGN_VERIFY"), ("HMAC_224", "GENERATE_VERIFY_MAC")]
)
async def test_a14_a49_they_never_rotate(world, spec, usage):
    key_id, arn = await world.key(KeySpec=spec, KeyUsage=usage)
    assert await world.ask("GetKeyRotationStatus", KeyId=key_id) == {"KeyId": arn, "KeyRotationEnabled": False}
    for operation in ("RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation"):
        assert await world.refusal(operation, KeyId=key_id) == ("UnsupportedOperationException", "")


async def test_the_life_of_a_signing_key_ends_as_any_others(world):
    key_id, arn = await world.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    await world.ask("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    world.clock.days(7)
    assert await world.rooms.deletion.destroy_due() == 1
    assert await world.catalog.document(f"kms/{A}/{REGION}/{key_id}", "kms-key") is None
    assert await world.refusal("Sign", KeyId=key_id, **SIGN) == ("NotFoundException", f"Key '{arn}' does not exist")


async def test_a44_state_before_usage(world):
    key_id, arn = await world.key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    await world.ask("DisableKey", KeyId=key_id)
    for operation, given in CALLS.items():
        assert await world.refusal(operation, KeyId=key_id, **given) == ("DisabledException", f"{arn} is disabled.")


async def test_no_private_key_is_on_disk_or_in_a_representation(world, tmp_path):
    key_id, _ = await world.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    ring = world.data_keys.ring
    (record,) = [record for name, record in [*ring._keys.items()] if name.key_id == key_id] or [None]
    if record is None:
        await world.ask("DescribeKey", KeyId=key_id)
        record = next(record for name, record in ring._keys.items() if name.key_id == key_id)
    secret = await ring.material(record)
    assert "wrapped" not in repr(record)
    assert secret.hex() not in repr(record)
    number = secret[36:68]  # the scalar within PKCS #8 of P-256
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert number not in path.read_bytes()


async def test_a_wrapped_private_key_does_not_open_in_another_record(world):
    """A thief who writes the disk cannot make one key sign in the name of another."""
    (victim, _), (thief, _) = [await world.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY") for _ in range(2)]

    def swap(transaction) -> None:
        scopes = [f"kms/{A}/{REGION}/{key_id}" for key_id in (victim, thief)]
        mine, theirs = (transaction.document(scope, "kms-key") for scope in scopes)
        theirs["materials"], theirs["current"] = mine["materials"], mine["current"]
        transaction.set_document(scopes[1], "kms-key", theirs)

    await world.catalog.write(swap)
    for operation, given in (("Sign", SIGN), ("GetPublicKey", {})):
        refused = await world.refusal(operation, KeyId=thief, **given)
        assert refused == ("KMSInternalException", "The key material could not be opened.")
