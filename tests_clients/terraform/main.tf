# One of everything that Strongroom has and the AWS provider manages. The variables are what the test changes between two applies.

variable "prefix" { type = string }

variable "team" {
  type    = string
  default = "blue"
}

variable "name" {
  type    = string
  default = "letters"
}

variable "action" {
  type    = string
  default = "s3:GetObject"
}

variable "versioning" {
  type    = string
  default = "Enabled"
}

variable "session_seconds" {
  type    = number
  default = 7200
}

locals {
  tags   = { team = var.team }
  rights = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = [var.action], Resource = "*" }] })
}

data "aws_caller_identity" "current" {}

resource "aws_kms_key" "letters" {
  description             = "letters of ${var.team}"
  deletion_window_in_days = 7
  enable_key_rotation     = var.team == "blue"
  tags                    = local.tags
}

resource "aws_kms_alias" "letters" {
  name          = "alias/${var.prefix}"
  target_key_id = aws_kms_key.letters.key_id
}

resource "aws_s3_bucket" "letters" {
  bucket = var.prefix
  tags   = local.tags
}

resource "aws_s3_bucket_server_side_encryption_configuration" "letters" {
  bucket = aws_s3_bucket.letters.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.letters.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "letters" {
  bucket                  = aws_s3_bucket.letters.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "letters" {
  bucket = aws_s3_bucket.letters.id
  versioning_configuration {
    status = var.versioning
  }
}

resource "aws_s3_bucket_policy" "letters" {
  bucket = aws_s3_bucket.letters.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "read"
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.letters.arn }
      Action    = var.action
      Resource  = "${aws_s3_bucket.letters.arn}/*"
    }]
  })
}

resource "aws_s3_object" "letters" {
  bucket     = aws_s3_bucket.letters.id
  key        = "one"
  content    = "for your eyes only"
  depends_on = [aws_s3_bucket_server_side_encryption_configuration.letters, aws_s3_bucket_versioning.letters]
}

resource "aws_iam_policy" "letters" {
  name   = var.prefix
  path   = "/app/"
  policy = local.rights
  tags   = local.tags
}

resource "aws_iam_user" "letters" {
  name          = "${var.prefix}-${var.name}"
  force_destroy = true
  tags          = local.tags
}

resource "aws_iam_access_key" "letters" {
  user = aws_iam_user.letters.name
}

resource "aws_iam_user_policy" "letters" {
  name   = "inline"
  user   = aws_iam_user.letters.name
  policy = local.rights
}

resource "aws_iam_user_policy_attachment" "letters" {
  user       = aws_iam_user.letters.name
  policy_arn = aws_iam_policy.letters.arn
}

resource "aws_iam_role" "letters" {
  name                 = var.prefix
  max_session_duration = var.session_seconds
  permissions_boundary = aws_iam_policy.letters.arn
  tags                 = local.tags
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { AWS = aws_iam_user.letters.arn }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "letters" {
  name   = "inline"
  role   = aws_iam_role.letters.name
  policy = local.rights
}

resource "aws_iam_role_policy_attachment" "letters" {
  role       = aws_iam_role.letters.name
  policy_arn = aws_iam_policy.letters.arn
}

resource "aws_iam_group" "letters" {
  name = "${var.prefix}-${var.name}"
}

resource "aws_iam_group_policy" "letters" {
  name   = "inline"
  group  = aws_iam_group.letters.name
  policy = local.rights
}

resource "aws_iam_group_policy_attachment" "letters" {
  group      = aws_iam_group.letters.name
  policy_arn = aws_iam_policy.letters.arn
}

resource "aws_iam_group_membership" "letters" {
  name  = "members"
  group = aws_iam_group.letters.name
  users = [aws_iam_user.letters.name]
}

output "account_id" {
  value = data.aws_caller_identity.current.account_id
}
